build/fz/clang/fuzz/kcov.o: fuzz/kcov.c fuzz/fuzz.h \
  /opt/wt/fuzz/uapi/linux/slabpool.h

fuzz/fuzz.h:

/opt/wt/fuzz/uapi/linux/slabpool.h:
