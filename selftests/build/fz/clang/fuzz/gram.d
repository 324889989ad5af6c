build/fz/clang/fuzz/gram.o: fuzz/gram.c fuzz/gram.h fuzz/fuzz.h \
  /opt/wt/fuzz/uapi/linux/slabpool.h

fuzz/gram.h:

fuzz/fuzz.h:

/opt/wt/fuzz/uapi/linux/slabpool.h:
