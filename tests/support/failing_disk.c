/* A disk that fails: preloaded before the C library, it makes the nth call that changes a file fail, or kill.

   Counted are, by the bits of `kinds`: 1 fsync and fdatasync of files, 2 those of folders, 4 writes to files, 8
   truncations, 16 links and removals. `error` is the errno of the failing call, or 0 for a kill by SIGKILL before the call is made. A lasting
   fault fails all later calls of these kinds as well. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

static int armed_kinds, armed_error, armed_lasting;
static long before;

void fault_arm(int kinds, long nth, int error, int lasting) {
    armed_kinds = kinds;
    armed_error = error;
    armed_lasting = lasting;
    before = nth;
}

void fault_disarm(void) { armed_kinds = 0; }

int fault_struck(void) { return before < 0; }

static int strikes(int kind) {
    if (!(armed_kinds & kind)) return 0;
    if (before > 0) {
        before -= 1;
        return 0;
    }
    if (before < 0 && !armed_lasting) return 0;
    before = -1;
    if (!armed_error) kill(getpid(), SIGKILL);
    errno = armed_error;
    return 1;
}

static int is_regular(int file) {
    struct stat status;
    return fstat(file, &status) == 0 && S_ISREG(status.st_mode);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int fsync(int file) { return strikes(is_regular(file) ? 1 : 2) ? -1 : NEXT(fsync)(file); }
int fdatasync(int file) { return strikes(is_regular(file) ? 1 : 2) ? -1 : NEXT(fdatasync)(file); }

ssize_t write(int file, const void *bytes, size_t size) {
    return is_regular(file) && strikes(4) ? -1 : NEXT(write)(file, bytes, size);
}
ssize_t pwrite(int file, const void *bytes, size_t size, off_t at) {
    return is_regular(file) && strikes(4) ? -1 : NEXT(pwrite)(file, bytes, size, at);
}
ssize_t pwrite64(int file, const void *bytes, size_t size, off64_t at) {
    return is_regular(file) && strikes(4) ? -1 : NEXT(pwrite64)(file, bytes, size, at);
}

int ftruncate(int file, off_t size) { return strikes(8) ? -1 : NEXT(ftruncate)(file, size); }
int ftruncate64(int file, off64_t size) { return strikes(8) ? -1 : NEXT(ftruncate64)(file, size); }

int unlink(const char *path) { return strikes(16) ? -1 : NEXT(unlink)(path); }
int unlinkat(int folder, const char *path, int flags) { return strikes(16) ? -1 : NEXT(unlinkat)(folder, path, flags); }
int link(const char *from, const char *to) { return strikes(16) ? -1 : NEXT(link)(from, to); }
int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    return strikes(16) ? -1 : NEXT(linkat)(from_folder, from, to_folder, to, flags);
}
