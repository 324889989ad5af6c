build/fz/clang/fuzz/random.o: fuzz/random.c fuzz/fuzz.h \
  /opt/wt/fuzz/uapi/linux/slabpool.h

fuzz/fuzz.h:

/opt/wt/fuzz/uapi/linux/slabpool.h:
