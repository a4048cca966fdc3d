/*
 * The load of the benchmarks: many TLS connections through one proxy, from one thread, with as little CPU as can be, since what it
 * costs is taken from the core that upstream and load share. A closed loop: each connection asks again when it was answered. The
 * figures of the window go to standard output as one JSON object.
 *
 *   load --port P [--at ADDRESS] [--from ADDRESS] [--tunnel] --sni NAME [--alpn http/1.1] --connections N --warm S [--warm-requests N] --seconds S
 *        [--request FILE] [--limit N] [--fresh] [--resume] [--hosts N] [--events] [--idle] [--stall] [--echo] [--pids A,B]
 *
 * --tunnel      ask for a tunnel first; without it TLS is spoken at once.  --plain: no TLS at all, for a door that has none.
 * --request     the bytes of one request, head and body, as they stand in the file.  --body N: N bytes more behind them.
 * --warm        seconds before the window begins;  --warm-requests: it begins as soon as so many were answered, and each connection
 *               was once.  --limit: it ends when so many were answered in it.
 * --fresh       a new connection for each request;  --resume: with the session of the one before.  --hosts: a new server name each,
 *               h0.SNI, h1.SNI and so on, which also stands for each "@host@" of the request.
 * --events      each "@<nanoseconds>@" in a reply is the CLOCK_MONOTONIC it was sent at: their delays are told, and of each reply the
 *               time to its first byte.
 * --idle        connections are opened, asked once, and then held for the window; a --limit of them cuts it to 1.5 s more.  --stall: nothing of a reply's body is read.
 * --echo        the request is an upgrade to WebSocket; behind the 101 each message that was echoed counts as a request.
 * --tolerant    failed connections are only counted, however many.
 * --pids        processes whose CPU time in the window is told.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum state { DIALLING, TUNNEL_ASK, TUNNEL_REPLY, HANDSHAKE, ASK, REPLY_HEAD, REPLY_BODY, ECHO, HELD };

struct connection {
  int fd, wants;
  enum state state;
  SSL *ssl;
  size_t sent;
  const char *out;
  size_t out_length;
  char name[256], own[2048];
  uint64_t asked_at, began_at, tls_at;
  char head[16384];
  size_t head_length;
  int64_t body_left; /* -1: chunked; -2: until the connection closes */
  int chunk_state, closes, first_seen, has_answer;
  uint64_t chunk_left;
  char mark[32];
  int mark_length; /* -1: not in a mark */
};

/* What a proxy gets to put its memory in order, in nanoseconds. */
#define SETTLE 1500000000u

static struct {
  int port, connections, fresh, resume, hosts, events, idle, stall, plain, echo, tunnel, tolerant;
  long warm_requests, limit;
  const char *at, *from, *sni, *alpn, *pids;
  double warm, seconds;
  char *request;
  size_t request_length;
} options = {.connections = 1, .at = "127.0.0.1", .sni = "localhost", .warm = 0.5, .seconds = 2};

static SSL_CTX *context;
static SSL_SESSION *session;
static int epoll;
static int counting;
static uint64_t asked, requests, errors, handshakes, resumed, bytes, names, with_answer;
static int broken_status;

/* Tenths of a microsecond: exact below 4096, within 0.1 % above. */
#define BUCKETS 65536
struct histogram { uint64_t count[BUCKETS], total, most; };
static struct histogram latencies, delays, firsts, shakes;

static uint64_t now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static void put(struct histogram *h, uint64_t nanoseconds) {
  uint64_t tenths = nanoseconds / 100;
  if (!counting) return;
  size_t bucket;
  if (tenths < 4096) bucket = tenths;
  else {
    int shift = 0;
    uint64_t v = tenths;
    while (v >= 4096) { v >>= 1; shift++; }
    bucket = 4096 + (size_t)(shift - 1) * 2048 + (size_t)(v - 2048);
    if (bucket >= BUCKETS) bucket = BUCKETS - 1;
  }
  h->count[bucket]++;
  h->total++;
  if (tenths > h->most) h->most = tenths;
}

static double at(const struct histogram *h, double share) {
  uint64_t want = (uint64_t)(share * (double)h->total), seen = 0;
  for (size_t i = 0; i < BUCKETS; i++) {
    seen += h->count[i];
    if (seen > want) {
      if (i < 4096) return (double)i / 10;
      size_t shift = (i - 4096) / 2048 + 1, rest = (i - 4096) % 2048 + 2048;
      return (double)(rest << shift) / 10;
    }
  }
  return (double)h->most / 10;
}

static double cpu_seconds(void) {
  if (!options.pids) return 0;
  double sum = 0;
  char *list = strdup(options.pids), *rest = list, *pid;
  while ((pid = strsep(&rest, ","))) {
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%s/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file) continue;
    size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[n] = 0;
    unsigned long user = 0, system = 0;
    char *after = strrchr(text, ')');
    if (after && sscanf(after + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) == 2)
      sum += (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
  }
  free(list);
  return sum;
}

static void watch(struct connection *c, int wants) {
  if (c->wants == wants) return;
  struct epoll_event event = {.events = (uint32_t)wants, .data.ptr = c};
  epoll_ctl(epoll, c->wants ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &event);
  c->wants = wants;
}

static void dial(struct connection *c) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port), .sin_addr.s_addr = inet_addr(options.at)};
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  int on = 1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  c->wants = 0;
  c->state = DIALLING;
  c->sent = 0;
  c->ssl = NULL;
  c->began_at = now();
  c->head_length = 0;
  if (options.hosts) snprintf(c->name, sizeof c->name, "h%llu.%s", (unsigned long long)(names++ % (uint64_t)options.hosts), options.sni);
  else snprintf(c->name, sizeof c->name, "%s", options.sni);
  if (options.from) {
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(options.from)};
    if (bind(c->fd, (struct sockaddr *)&own, sizeof own) < 0) errors++;
  }
  if (connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) errors++;
  watch(c, EPOLLOUT);
}

static void hang_up(struct connection *c) {
  if (c->ssl) {
    if (options.resume) {
      SSL_SESSION *fresh = SSL_get1_session(c->ssl);
      if (fresh) {
        if (session) SSL_SESSION_free(session);
        session = fresh;
      }
    }
    SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(c->ssl);
  }
  struct linger now_linger = {.l_onoff = options.fresh, .l_linger = 0};
  setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now_linger, sizeof now_linger);
  close(c->fd);
}

static void fail(struct connection *c) {
  errors++;
  if (errors > 20000 && !options.tolerant) exit(3);
  hang_up(c);
  if (options.idle) { c->state = HELD; c->fd = -1; return; }
  dial(c);
}

static void begin_tls(struct connection *c) {
  c->state = HANDSHAKE;
  c->ssl = SSL_new(context);
  SSL_set_fd(c->ssl, c->fd);
  c->tls_at = now();
  SSL_set_tlsext_host_name(c->ssl, c->name);
  if (options.resume && session) SSL_set_session(c->ssl, session);
  SSL_set_connect_state(c->ssl);
}

/* > 0 bytes, 0 would block, -1 gone. */
static int give(struct connection *c, const char *data, size_t length) {
  if (c->ssl) {
    int n = SSL_write(c->ssl, data, (int)length);
    if (n > 0) return n;
    int why = SSL_get_error(c->ssl, n);
    if (why == SSL_ERROR_WANT_READ) { watch(c, EPOLLIN); return 0; }
    if (why == SSL_ERROR_WANT_WRITE) { watch(c, EPOLLOUT | EPOLLIN); return 0; }
    ERR_clear_error();
    return -1;
  }
  ssize_t n = send(c->fd, data, length, MSG_NOSIGNAL);
  if (n >= 0) return (int)n;
  if (errno == EAGAIN) { watch(c, EPOLLOUT | EPOLLIN); return 0; }
  return -1;
}

static int take(struct connection *c, char *data, size_t length) {
  if (c->ssl) {
    int n = SSL_read(c->ssl, data, (int)length);
    if (n > 0) return n;
    int why = SSL_get_error(c->ssl, n);
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) return 0;
    ERR_clear_error();
    return -1;
  }
  ssize_t n = recv(c->fd, data, length, 0);
  if (n > 0) return (int)n;
  return n < 0 && errno == EAGAIN ? 0 : -1;
}

/* A text message of 64 bytes, masked with zeros: RFC 6455, 5.2. */
static const char message[] = "\x81\xc0\0\0\0\0" "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
#define MESSAGE_LENGTH (sizeof message - 1)
#define ECHO_LENGTH (MESSAGE_LENGTH - 4)

/* The request with the connection's own name where it says "@host@". */
static void name_request(struct connection *c) {
  const char *from = options.request, *found;
  size_t length = 0;
  while ((found = strstr(from, "@host@"))) {
    length += (size_t)snprintf(c->own + length, sizeof c->own - length, "%.*s%s", (int)(found - from), from, c->name);
    from = found + 6;
  }
  length += (size_t)snprintf(c->own + length, sizeof c->own - length, "%s", from);
  c->out = c->own;
  c->out_length = length;
}

static void ask(struct connection *c) {
  c->state = ASK;
  c->out = options.request;
  c->out_length = options.request_length;
  if (options.hosts) name_request(c);
  c->sent = 0;
  c->head_length = 0;
  c->first_seen = 0;
  c->mark_length = -1;
  c->asked_at = options.fresh ? c->began_at : now();
}

/* One more reply, and whether it is the first of its connection. */
static void count_reply(struct connection *c) {
  asked++;
  with_answer += !c->has_answer;
  c->has_answer = 1;
}

/* Whether the connection can ask again at once. */
static int answered(struct connection *c) {
  uint64_t took = now() - c->asked_at;
  count_reply(c);
  if (counting) requests++;
  put(&latencies, took);
  if (options.fresh || c->closes) {
    hang_up(c);
    dial(c);
    return 0;
  }
  ask(c);
  return 1;
}

static void find_marks(struct connection *c, const char *data, size_t length, uint64_t when) {
  for (size_t i = 0; i < length; i++) {
    if (data[i] == '@') {
      if (c->mark_length > 0) {
        c->mark[c->mark_length] = 0;
        uint64_t sent = strtoull(c->mark, NULL, 10);
        if (sent && sent <= when) put(&delays, when - sent);
        c->mark_length = -1;
      } else c->mark_length = 0;
    } else if (c->mark_length >= 0 && c->mark_length < 30) c->mark[c->mark_length++] = data[i];
  }
}

/* Whether the reply is whole. */
static int read_body(struct connection *c, const char *data, size_t length) {
  if (counting) bytes += length;
  if (length > 0 && !c->first_seen) { c->first_seen = 1; put(&firsts, now() - c->asked_at); }
  if (options.events && length > 0) find_marks(c, data, length, now());
  if (c->body_left >= 0) {
    c->body_left -= (int64_t)length;
    return c->body_left <= 0;
  }
  if (c->body_left == -2) return 0;
  /* 0 size line, 1 LF of it, 2 data, 3 CRLF behind data, 4 trailers: line begun, 5 trailers: in a line */
  for (size_t i = 0; i < length;) {
    char ch = data[i];
    switch (c->chunk_state) {
      case 0:
        i++;
        if (ch == '\n') c->chunk_state = c->chunk_left ? 2 : 4;
        else if (ch == '\r') ;
        else if (ch >= '0' && ch <= '9') c->chunk_left = c->chunk_left * 16 + (uint64_t)(ch - '0');
        else if ((ch | 32) >= 'a' && (ch | 32) <= 'f') c->chunk_left = c->chunk_left * 16 + (uint64_t)((ch | 32) - 'a' + 10);
        break;
      case 2: {
        size_t here = length - i < c->chunk_left ? length - i : (size_t)c->chunk_left;
        i += here;
        c->chunk_left -= here;
        if (!c->chunk_left) c->chunk_state = 3;
        break;
      }
      case 3:
        i++;
        if (ch == '\n') { c->chunk_state = 0; c->chunk_left = 0; }
        break;
      case 4:
        i++;
        if (ch == '\n') return 1;
        if (ch != '\r') c->chunk_state = 5;
        break;
      default:
        i++;
        if (ch == '\n') c->chunk_state = 4;
    }
  }
  return 0;
}

static char *field(char *head, const char *name) {
  char *line = strcasestr(head, name);
  return line ? line + strlen(name) : NULL;
}

static void send_message(struct connection *c) {
  c->state = ASK;
  c->out = message;
  c->out_length = MESSAGE_LENGTH;
  c->sent = 0;
  c->asked_at = now();
}

static void step(struct connection *c) {
  static char buffer[1 << 18];
  for (;;) switch (c->state) {
      case DIALLING: {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error) return fail(c);
        c->sent = 0;
        if (options.tunnel) c->state = TUNNEL_ASK;
        else if (options.plain) ask(c);
        else begin_tls(c);
        break;
      }
      case TUNNEL_ASK: {
        char text[512];
        int length = snprintf(text, sizeof text, "CONNECT %s:443 HTTP/1.1\r\nHost: %s:443\r\n\r\n", c->name, c->name);
        int n = give(c, text + c->sent, (size_t)length - c->sent);
        if (n < 0) return fail(c);
        if (n == 0) return;
        c->sent += (size_t)n;
        if (c->sent == (size_t)length) { c->state = TUNNEL_REPLY; c->head_length = 0; watch(c, EPOLLIN); }
        break;
      }
      case TUNNEL_REPLY: {
        /* Byte by byte: what comes behind the head is not ours. */
        int n = take(c, c->head + c->head_length, 1);
        if (n < 0) return fail(c);
        if (n == 0) return;
        c->head_length++;
        if (c->head_length > 4000) return fail(c);
        if (c->head_length >= 4 && !memcmp(c->head + c->head_length - 4, "\r\n\r\n", 4)) {
          if (memcmp(c->head + 9, "200", 3)) { broken_status = atoi(c->head + 9); return fail(c); }
          begin_tls(c);
        }
        break;
      }
      case HANDSHAKE: {
        int n = SSL_do_handshake(c->ssl);
        if (n == 1) {
          put(&shakes, now() - c->tls_at);
          if (counting) { handshakes++; resumed += (uint64_t)SSL_session_reused(c->ssl); }
          ask(c);
          break;
        }
        int why = SSL_get_error(c->ssl, n);
        if (why == SSL_ERROR_WANT_READ) return watch(c, EPOLLIN);
        if (why == SSL_ERROR_WANT_WRITE) return watch(c, EPOLLOUT);
        ERR_clear_error();
        return fail(c);
      }
      case ASK: {
        int n = give(c, c->out + c->sent, c->out_length - c->sent);
        if (n < 0) return fail(c);
        if (n == 0) return;
        c->sent += (size_t)n;
        if (c->sent == c->out_length && c->out == message) { c->state = ECHO; c->body_left = ECHO_LENGTH; watch(c, EPOLLIN); }
        else if (c->sent == c->out_length) { c->state = REPLY_HEAD; c->head_length = 0; watch(c, EPOLLIN); }
        break;
      }
      case REPLY_HEAD: {
        int n = take(c, c->head + c->head_length, sizeof c->head - 1 - c->head_length);
        if (n < 0) return fail(c);
        if (n == 0) return;
        c->head_length += (size_t)n;
        c->head[c->head_length] = 0;
        char *end = strstr(c->head, "\r\n\r\n");
        if (!end) { if (c->head_length > 16000) return fail(c); break; }
        char *body = end + 4;
        size_t length = c->head_length - (size_t)(body - c->head);
        *end = 0;
        int status = atoi(c->head + 9);
        if (status >= 100 && status < 200 && status != 101) {
          memmove(c->head, body, length);
          c->head_length = length;
          break;
        }
        if (status == 101 && options.echo) { send_message(c); break; }
        if (options.echo) { broken_status = status; return fail(c); }
        if (status >= 400 && broken_status == 0) broken_status = status;
        char *size = field(c->head, "\r\ncontent-length:"), *coding = field(c->head, "\r\ntransfer-encoding:"), *close_field = field(c->head, "\r\nconnection:");
        c->closes = close_field && strcasestr(close_field, "close") == close_field + strspn(close_field, " ");
        c->chunk_state = 0;
        c->chunk_left = 0;
        c->body_left = coding ? -1 : size ? strtoll(size, NULL, 10) : -2;
        c->state = options.idle || options.stall ? HELD : REPLY_BODY;
        if (c->state == HELD) { asked++; if (counting || options.idle) requests++; return; }
        if ((c->body_left == 0 || read_body(c, body, length)) && !answered(c)) return;
        break;
      }
      case REPLY_BODY: {
        int n = take(c, buffer, sizeof buffer);
        if (n == 0) return;
        if (n < 0) {
          if (c->body_left != -2) return fail(c);
          c->closes = 1;
          answered(c);
          return;
        }
        if (read_body(c, buffer, (size_t)n) && !answered(c)) return;
        break;
      }
      case ECHO: {
        int n = take(c, buffer, sizeof buffer);
        if (n < 0) return fail(c);
        if (n == 0) return;
        c->body_left -= n;
        if (c->body_left > 0) break;
        if (c->body_left < 0) return fail(c);
        put(&latencies, now() - c->asked_at);
        count_reply(c);
        if (counting) requests++;
        send_message(c);
        break;
      }
      case HELD: {
        if (options.stall) return watch(c, EPOLLRDHUP);
        int n = take(c, buffer, sizeof buffer);
        if (n < 0) { errors++; watch(c, EPOLLRDHUP); }
        return;
      }
    }
}

static void read_request(const char *path, size_t more) {
  FILE *file = fopen(path, "rb");
  if (!file) { perror(path); exit(64); }
  char *data = calloc(1, 65537 + more);
  size_t n = fread(data, 1, 65536, file);
  fclose(file);
  memset(data + n, 'x', more);
  options.request = data;
  options.request_length = n + more;
}

int main(int count, char **values) {
  const char *request = NULL;
  size_t more = 0;
  for (int i = 1; i < count; i++) {
    const char *name = values[i], *value = i + 1 < count ? values[i + 1] : "";
#define FLAG(word, place) if (!strcmp(name, word)) { options.place = 1; continue; }
#define TEXT(word, place) if (!strcmp(name, word)) { options.place = value; i++; continue; }
#define NUMBER(word, place, read) if (!strcmp(name, word)) { options.place = read(value); i++; continue; }
    FLAG("--fresh", fresh) FLAG("--resume", resume) FLAG("--events", events) FLAG("--idle", idle) FLAG("--stall", stall) FLAG("--plain", plain)
    FLAG("--echo", echo) FLAG("--tunnel", tunnel) FLAG("--tolerant", tolerant)
    TEXT("--at", at) TEXT("--from", from) TEXT("--sni", sni) TEXT("--alpn", alpn) TEXT("--pids", pids)
    NUMBER("--port", port, atoi) NUMBER("--connections", connections, atoi) NUMBER("--hosts", hosts, atoi)
    NUMBER("--warm-requests", warm_requests, atol) NUMBER("--limit", limit, atol) NUMBER("--warm", warm, atof) NUMBER("--seconds", seconds, atof)
    if (!strcmp(name, "--request")) { request = value; i++; continue; }
    if (!strcmp(name, "--body")) { more = (size_t)atoll(value); i++; continue; }
    fprintf(stderr, "load: what is %s?\n", name);
    return 64;
  }
  if (!request || !options.port) { fprintf(stderr, "load: --port and --request are needed\n"); return 64; }
  read_request(request, more);
  signal(SIGPIPE, SIG_IGN);
  context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  if (options.alpn) {
    unsigned char wire[64];
    wire[0] = (unsigned char)strlen(options.alpn);
    memcpy(wire + 1, options.alpn, wire[0]);
    SSL_CTX_set_alpn_protos(context, wire, wire[0] + 1u);
  }
  epoll = epoll_create1(0);
  struct connection *all = calloc((size_t)options.connections, sizeof *all);
  uint64_t start = now(), window = start + (uint64_t)(options.warm * 1e9), end = window + (uint64_t)(options.seconds * 1e9);
  int opened = 0;
  double cpu = 0;
  struct epoll_event ready[512];
  while (now() < end) {
    /* Opened in steps, so that a listener's backlog is not what is measured. */
    for (int n = 0; opened < options.connections && n < 32; n++) dial(&all[opened++]);
    int n = epoll_wait(epoll, ready, 512, 1);
    for (int i = 0; i < n; i++) step(ready[i].data.ptr);
    int is_warm = options.warm_requests && asked >= (uint64_t)options.warm_requests && with_answer == (uint64_t)options.connections;
    if (!counting && (is_warm || now() >= window)) {
      counting = 1;
      start = now();
      end = start + (uint64_t)(options.seconds * 1e9);
      cpu = cpu_seconds();
    }
    if (options.limit && requests >= (uint64_t)options.limit) {
      if (!options.idle) break;
      options.limit = 0;
      end = now() + SETTLE;
    }
  }
  double seconds = (double)(now() - start) / 1e9;
  cpu = cpu_seconds() - cpu;
  printf("{\"asked\":%llu,\"requests\":%llu,\"errors\":%llu,\"status\":%d,\"seconds\":%.4f,\"bytes\":%llu,\"handshakes\":%llu,\"resumed\":%llu,\"cpu\":%.3f,"
         "\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"max\":%.1f,\"delay\":{\"count\":%llu,\"p50\":%.1f,\"p99\":%.1f,\"max\":%.1f},\"first\":{\"p50\":%.1f,\"p99\":%.1f},\"shake\":{\"p50\":%.1f,\"p99\":%.1f}}\n",
         (unsigned long long)asked, (unsigned long long)requests, (unsigned long long)errors, broken_status, seconds, (unsigned long long)bytes, (unsigned long long)handshakes,
         (unsigned long long)resumed, cpu, at(&latencies, 0.5), at(&latencies, 0.9), at(&latencies, 0.99), (double)latencies.most / 10,
         (unsigned long long)delays.total, at(&delays, 0.5), at(&delays, 0.99), (double)delays.most / 10, at(&firsts, 0.5), at(&firsts, 0.99), at(&shakes, 0.5), at(&shakes, 0.99));
  return 0;
}
