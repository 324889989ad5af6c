build/fz/clang/fuzz/calls.o: fuzz/calls.c fuzz/calls.h fuzz/fuzz.h \
  /opt/wt/fuzz/uapi/linux/slabpool.h fuzz/gram.h

fuzz/calls.h:

fuzz/fuzz.h:

/opt/wt/fuzz/uapi/linux/slabpool.h:

fuzz/gram.h:
