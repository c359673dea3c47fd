// Runs a command in a terminal of 100x30: pty KEYS SCREEN COMMAND...; what is written to the fifo KEYS is typed, what the
// command writes goes to the file SCREEN. Leaves as the command does.
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    struct winsize size = {.ws_row = 30, .ws_col = 100};
    int terminal, keys = open(argv[1], O_RDWR), screen = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (keys < 0 || screen < 0) return perror(argv[1]), 1;
    pid_t child = forkpty(&terminal, NULL, NULL, &size);
    if (child < 0) return perror("forkpty"), 1;
    if (child == 0) {
        execv(argv[3], argv + 3);
        _exit(127);
    }
    struct pollfd ends[2] = {{.fd = keys, .events = POLLIN}, {.fd = terminal, .events = POLLIN}};
    char block[4096];
    for (;;) {
        poll(ends, 2, -1);
        if (ends[0].revents & POLLIN) {
            ssize_t n = read(keys, block, sizeof block);
            if (n > 0 && write(terminal, block, n) != n) break;
        }
        // The terminal is hung up when the command has left.
        if (ends[1].revents) {
            ssize_t n = read(terminal, block, sizeof block);
            if (n <= 0 || write(screen, block, n) != n) break;
        }
    }
    int status;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
