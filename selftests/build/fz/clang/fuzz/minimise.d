build/fz/clang/fuzz/minimise.o: fuzz/minimise.c fuzz/fuzz.h \
  /opt/wt/fuzz/uapi/linux/slabpool.h

fuzz/fuzz.h:

/opt/wt/fuzz/uapi/linux/slabpool.h:
