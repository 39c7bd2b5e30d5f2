/* Makes system calls of one process fail or dawdle when a test says so. Loaded by LD_PRELOAD.
 *
 * The test and the process share a small file, named by FAULTS_CONTROL. The n-th call of the chosen kind from now on
 * fails with the chosen errno (0: it only takes longer); `hits` counts all calls of the kind since it was armed.
 * Kinds: write and sync are about files whose name holds ".db", send, receive and connect about sockets.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum kind { NONE, WRITE, SYNC, SEND, RECEIVE, CONNECT };

struct control {
    int kind, nth, times, error, delay_us;
    int hits;
};

static volatile struct control *control;

__attribute__((constructor)) static void open_control(void) {
    const char *name = getenv("FAULTS_CONTROL");
    int file = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *memory = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory != MAP_FAILED) control = memory;
}

/* Whether this call is to fail; errno is set then. */
static int strikes(int kind) {
    if (!control || control->kind != kind) return 0;
    int hit = __sync_add_and_fetch(&control->hits, 1);
    if (hit < control->nth || hit >= control->nth + control->times) return 0;
    if (control->delay_us) {
        struct timespec pause = {0, control->delay_us * 1000L};
        nanosleep(&pause, NULL);
    }
    if (!control->error) return 0;
    errno = control->error;
    return 1;
}

static int is_socket(int fd) {
    struct stat facts;
    return fstat(fd, &facts) == 0 && S_ISSOCK(facts.st_mode);
}

static int is_database(int fd) {
    char link[64], name[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, name, sizeof name - 1);
    if (length <= 0) return 0;
    name[length] = 0;
    return strstr(name, ".db") != NULL;
}

static int armed(int kind) { return control && control->kind == kind; }

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at) {
    REAL(ssize_t, pwrite, int, const void *, size_t, off_t);
    if (armed(WRITE) && is_database(fd) && strikes(WRITE)) return -1;
    return real(fd, bytes, size, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at) {
    REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
    if (armed(WRITE) && is_database(fd) && strikes(WRITE)) return -1;
    return real(fd, bytes, size, at);
}

int fsync(int fd) {
    REAL(int, fsync, int);
    if (armed(SYNC) && is_database(fd) && strikes(SYNC)) return -1;
    return real(fd);
}

int fdatasync(int fd) {
    REAL(int, fdatasync, int);
    if (armed(SYNC) && is_database(fd) && strikes(SYNC)) return -1;
    return real(fd);
}

ssize_t write(int fd, const void *bytes, size_t size) {
    REAL(ssize_t, write, int, const void *, size_t);
    if (armed(SEND) && is_socket(fd) && strikes(SEND)) return -1;
    if (armed(WRITE) && is_database(fd) && strikes(WRITE)) return -1;
    return real(fd, bytes, size);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    if (armed(SEND) && is_socket(fd) && strikes(SEND)) return -1;
    return real(fd, parts, count);
}

ssize_t send(int fd, const void *bytes, size_t size, int flags) {
    REAL(ssize_t, send, int, const void *, size_t, int);
    if (armed(SEND) && strikes(SEND)) return -1;
    return real(fd, bytes, size, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    REAL(ssize_t, sendmsg, int, const struct msghdr *, int);
    if (armed(SEND) && strikes(SEND)) return -1;
    return real(fd, message, flags);
}

ssize_t read(int fd, void *bytes, size_t size) {
    REAL(ssize_t, read, int, void *, size_t);
    if (armed(RECEIVE) && is_socket(fd) && strikes(RECEIVE)) return -1;
    return real(fd, bytes, size);
}

ssize_t recv(int fd, void *bytes, size_t size, int flags) {
    REAL(ssize_t, recv, int, void *, size_t, int);
    if (armed(RECEIVE) && strikes(RECEIVE)) return -1;
    return real(fd, bytes, size, flags);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
    REAL(ssize_t, recvmsg, int, struct msghdr *, int);
    if (armed(RECEIVE) && strikes(RECEIVE)) return -1;
    return real(fd, message, flags);
}

int connect(int fd, const struct sockaddr *address, socklen_t length) {
    REAL(int, connect, int, const struct sockaddr *, socklen_t);
    if (armed(CONNECT) && strikes(CONNECT)) return -1;
    return real(fd, address, length);
}
