build/fz/clang/fuzz/main.o: fuzz/main.c fuzz/fuzz.h \
  /opt/wt/fuzz/uapi/linux/slabpool.h

fuzz/fuzz.h:

/opt/wt/fuzz/uapi/linux/slabpool.h:
