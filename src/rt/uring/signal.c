/* SPDX-License-Identifier: Apache-2.0. Copyright the Cairn authors. */
/*
 * SIGINT and SIGTERM as something to read. rt_run() has blocked them in every thread.
 */

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include "rt/uring/uring.h"

static int signal_fd = -1;

int signals_open(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
    return signal_fd < 0 ? -errno : 0;
}

void signals_close(void)
{
    close(signal_fd);
    signal_fd = -1;
}

int FIBER uring_wait_signal(int *ret_signal)
{
    struct signalfd_siginfo info;
    struct uring_op op = uring_op_here();
    struct io_uring_sqe *sqe = uring_sqe();
    io_uring_prep_read(sqe, signal_fd, &info, sizeof(info), 0);
    uring_attach(sqe, &op);
    int r = uring_await(&op, RT_NEVER);
    if (r < 0)
        return r;
    CHECK(r == (int)sizeof(info));
    rt_mark_defined(&info, sizeof(info));
    *ret_signal = (int)info.ssi_signo;
    return 0;
}
