/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
#pragma once

/*
 * What the files of the Linux world share.
 *
 * Each loop thread owns one ring. Fibers fill submission entries; one system call a turn of the
 * loop submits them all, runs the kernel's deferred work and waits. A completion finds its
 * `struct uring_op` by the entry's user data; user data 0 is nobody's.
 *
 * Invariants
 *  1. An op outlives its completion: who starts one waits for it, also after asking to cancel it.
 *  2. A ring is touched by its thread only.
 */

#include <liburing.h>
#include <pthread.h>
#include "rt/internal.h"
#include "rt/sanitize.h"

struct uring_op {
    void (*complete)(struct uring_op *op); /* on the loop's thread; `res` and `flags` are set */
    struct rt_fiber *fiber;                /* who waits, when a fiber does */
    int res;
    unsigned flags; /* of the completion */
};

struct uring_thread {
    struct rt_loop loop;
    struct io_uring ring;
    struct uring_op event; /* the read of event_fd */
    uint64_t event_value;
    int event_fd; /* written to end the sleep of the loop */
    bool closing;
    pthread_t thread;
    int start_result;
};

/* ---- ring.c ---------------------------------------------------------------------------------- */

int uring_open(struct uring_thread *t);
void uring_close(struct uring_thread *t);
/* Submits what was prepared and takes completions; `wait_until_ns` 0: does not sleep. */
void uring_turn(struct uring_thread *t, uint64_t wait_until_ns);

/* An empty entry of this thread's ring whose completion goes to `op` (NULL: to nobody). Prepare it
 * with io_uring_prep_*, then uring_attach(). */
struct io_uring_sqe *uring_sqe(void);
static inline void uring_attach(struct io_uring_sqe *sqe, struct uring_op *op)
{
    io_uring_sqe_set_data(sqe, op);
}
/* For a receive: wait before looking. 0 where the kernel would refuse it. */
unsigned uring_poll_first(void);
/* Asks the kernel to end an op early; it completes all the same. */
void uring_cancel(struct uring_op *op);

/* An op that the calling fiber will wait for. */
struct uring_op uring_op_here(void);
/* Waits for it whatever happens; its result. */
int FIBER uring_finish(struct uring_op *op);
/* Waits for it; at the deadline or when cancelled, cancels it and waits on. Its result, or
 * -ETIMEDOUT or -ECANCELED when that ended it. */
int FIBER uring_await(struct uring_op *op, uint64_t deadline_ns);

/* ---- offload.c ------------------------------------------------------------------------------- */

void offload_start(unsigned threads);
/* Joins the threads; nothing may be queued. */
void offload_stop(void);
int FIBER uring_offload(int (*fn)(void *arg), void *arg);
uint64_t uring_offload_queued(void);
void uring_thread_waits(bool begins);

/* ---- file.c, path.c, socket.c, park.c, signal.c: the members of rt_uring_ops ----------------- */

int uring_file_open(struct rt_file **ret, const char *path, unsigned flags);
void uring_file_close(struct rt_file *f);
int uring_file_read(struct rt_file *f, void *buf, size_t len, uint64_t off, size_t *ret_len);
size_t uring_file_read_now(struct rt_file *f, void *buf, size_t len, uint64_t off);
int uring_file_write(struct rt_file *f, const struct iovec *iov, unsigned count, uint64_t off);
int uring_file_sync(struct rt_file *f);
int uring_file_reserve(struct rt_file *f, uint64_t off, uint64_t len);
int uring_file_truncate(struct rt_file *f, uint64_t len);
int uring_file_size(struct rt_file *f, uint64_t *ret);
int uring_file_lock(struct rt_file *f);

int uring_mkdir(const char *path);
int uring_rename(const char *from, const char *to);
int uring_unlink(const char *path);
int uring_dir_sync(const char *path);
int uring_dir_list(const char *path, int (*fn)(const char *name, void *arg), void *arg);
int uring_space(const char *path, struct rt_space *ret);

struct uring_socket {
    struct rt_socket base;
    int fd;
    bool likely_readable; /* the next recv is tried at once */
    /* parking */
    bool parked, poll_pending;
    int park_status;
    void (*park_fn)(void *arg, int status);
    void *park_arg;
    struct uring_op poll;
    struct rt_timer park_timer;
};

int uring_resolve(struct rt_address *ret, const char *host, uint16_t port);
int uring_listen(struct rt_socket **ret, const struct rt_address *a, bool first);
int uring_socket_local(struct rt_socket *s, struct rt_address *ret);
int uring_accept(struct rt_socket *listener, uint64_t deadline_ns, struct rt_socket **ret,
                 struct rt_address *ret_peer);
int uring_connect(struct rt_socket **ret, const struct rt_address *a, uint64_t deadline_ns);
int uring_recv(struct rt_socket *s, void *buf, size_t len, uint64_t deadline_ns, size_t *ret_len);
int uring_send(struct rt_socket *s, struct iovec *iov, unsigned count, uint64_t deadline_ns);
void uring_socket_shutdown(struct rt_socket *s);
void uring_socket_close(struct rt_socket *s);
int uring_park(struct rt_socket *s, uint64_t deadline_ns, void (*fn)(void *arg, int status),
               void *arg);
void uring_unpark(struct rt_socket *s);

/* SIGINT and SIGTERM as a file, for the life of the world. */
int signals_open(void);
void signals_close(void);
int uring_wait_signal(int *ret_signal);

/* Lets others run after many operations in a row that did not have to wait. */
void FIBER uring_be_fair(void);
