/* Looks names up as a program of this C library does: each argument, then its addresses or "none", one line each. */
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>

int main(int argc, char **argv) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *all;
    char host[64];
    for (int i = 1; i < argc; i++) {
        printf("%s", argv[i]);
        if (getaddrinfo(argv[i], "443", &hints, &all)) {
            puts(" none");
            continue;
        }
        for (struct addrinfo *one = all; one; one = one->ai_next)
            if (!getnameinfo(one->ai_addr, one->ai_addrlen, host, sizeof host, 0, 0, NI_NUMERICHOST))
                printf(" %s", host);
        puts("");
        freeaddrinfo(all);
    }
    return 0;
}
