build/fz/clang/fuzz/slots.o: fuzz/slots.c fuzz/calls.h fuzz/fuzz.h \
  /opt/wt/fuzz/uapi/linux/slabpool.h

fuzz/calls.h:

fuzz/fuzz.h:

/opt/wt/fuzz/uapi/linux/slabpool.h:
