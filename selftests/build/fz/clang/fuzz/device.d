build/fz/clang/fuzz/device.o: fuzz/device.c fuzz/calls.h fuzz/fuzz.h \
  /opt/wt/fuzz/uapi/linux/slabpool.h

fuzz/calls.h:

fuzz/fuzz.h:

/opt/wt/fuzz/uapi/linux/slabpool.h:
