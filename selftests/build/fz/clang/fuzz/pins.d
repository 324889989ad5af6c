build/fz/clang/fuzz/pins.o: fuzz/pins.c fuzz/calls.h fuzz/fuzz.h \
  /opt/wt/fuzz/uapi/linux/slabpool.h

fuzz/calls.h:

fuzz/fuzz.h:

/opt/wt/fuzz/uapi/linux/slabpool.h:
