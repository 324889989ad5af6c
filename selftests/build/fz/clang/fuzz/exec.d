build/fz/clang/fuzz/exec.o: fuzz/exec.c fuzz/fuzz.h \
  /opt/wt/fuzz/uapi/linux/slabpool.h

fuzz/fuzz.h:

/opt/wt/fuzz/uapi/linux/slabpool.h:
