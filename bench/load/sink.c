/*
 * The upstream of uploads: it reads a body to its end, throws it away, and answers then. (nginx answers before it has read, and Node
 * would be what is measured.)
 *
 *   sink CERT KEY ADDRESS PORT
 *
 * It takes bodies with a content-length. A chunked one is answered with 411, so that it is seen.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct connection {
  int fd, chunked;
  SSL *ssl;
  char head[16384];
  size_t head_length;
  int64_t body_left; /* -1: a head is being read */
};

static const char taken[] = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 15\r\n\r\n{\"taken\": true}";
static const char refused[] = "HTTP/1.1 411 Length Required\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

static void hang_up(struct connection *c) {
  SSL_free(c->ssl);
  close(c->fd);
  free(c);
  ERR_clear_error();
}

/* What came behind the head belongs to the body. Whether the head was whole. */
static int read_head(struct connection *c) {
  c->head[c->head_length] = 0;
  char *end = strstr(c->head, "\r\n\r\n");
  if (!end) return 0;
  size_t behind = c->head_length - (size_t)(end + 4 - c->head);
  *end = 0;
  char *length = strcasestr(c->head, "\r\ncontent-length:");
  c->chunked = strcasestr(c->head, "\r\ntransfer-encoding:") != NULL;
  c->body_left = (length ? strtoll(length + 17, NULL, 10) : 0) - (int64_t)behind;
  return 1;
}

/* Whether the connection goes on. Replies are so short that a socket always takes them whole. */
static int answer(struct connection *c) {
  int whole = !c->chunked && c->body_left == 0;
  const char *reply = whole ? taken : refused;
  int sent = SSL_write(c->ssl, reply, (int)strlen(reply)) > 0;
  c->head_length = 0;
  c->body_left = -1;
  return whole && sent;
}

static void step(struct connection *c) {
  static char buffer[1 << 16];
  for (;;) {
    int in_head = c->body_left < 0;
    char *place = in_head ? c->head + c->head_length : buffer;
    size_t room = in_head ? sizeof c->head - 1 - c->head_length : sizeof buffer;
    int n = SSL_read(c->ssl, place, (int)room);
    if (n <= 0) {
      int why = SSL_get_error(c->ssl, n);
      if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) hang_up(c);
      return;
    }
    if (in_head) {
      c->head_length += (size_t)n;
      if (!read_head(c)) {
        if (c->head_length < sizeof c->head - 1) continue;
        return hang_up(c);
      }
    } else c->body_left -= n;
    if (c->body_left > 0 && !c->chunked) continue;
    if (!answer(c)) return hang_up(c);
  }
}

int main(int count, char **values) {
  if (count != 5) {
    fprintf(stderr, "sink CERT KEY ADDRESS PORT\n");
    return 64;
  }
  signal(SIGPIPE, SIG_IGN);
  SSL_CTX *context = SSL_CTX_new(TLS_server_method());
  if (SSL_CTX_use_certificate_chain_file(context, values[1]) != 1 || SSL_CTX_use_PrivateKey_file(context, values[2], SSL_FILETYPE_PEM) != 1) {
    ERR_print_errors_fp(stderr);
    return 64;
  }
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_default_read_buffer_len(context, 1 << 18);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1, epoll = epoll_create1(0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(values[4]))};
  if (inet_pton(AF_INET, values[3], &address.sin_addr) != 1 || bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 16384)) {
    perror(values[3]);
    return 1;
  }
  struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = NULL}, ready[64];
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &wanted);
  for (;;) {
    int n = epoll_wait(epoll, ready, 64, -1);
    for (int i = 0; i < n; i++) {
      struct connection *c = ready[i].data.ptr;
      if (c) {
        step(c);
        continue;
      }
      int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
      if (fd < 0) continue;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
      c = calloc(1, sizeof *c);
      c->fd = fd;
      c->body_left = -1;
      c->ssl = SSL_new(context);
      SSL_set_fd(c->ssl, fd);
      SSL_set_accept_state(c->ssl);
      wanted.data.ptr = c;
      epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &wanted);
    }
  }
}
