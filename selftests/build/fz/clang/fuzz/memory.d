build/fz/clang/fuzz/memory.o: fuzz/memory.c fuzz/calls.h fuzz/fuzz.h \
  /opt/wt/fuzz/uapi/linux/slabpool.h

fuzz/calls.h:

fuzz/fuzz.h:

/opt/wt/fuzz/uapi/linux/slabpool.h:
