// The C++ library asks glibc 2.32 and later whether a process has one thread, to count references without atomics. Node
// has many: the answer is fixed, and no symbol is needed.
extern "C" {
extern char __libc_single_threaded;
char __libc_single_threaded = 0;
}
