// One workload as a client sees it: client DIR WORKLOAD COUNT prints "WORKLOAD rate-per-second", megabytes for "seq-…". "prepare-…"
// makes what other workloads need, and prints nothing of use. All contents are noise: no target can skip or share them.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 4096, LINE = 200, MIB = 1 << 20, BIG_MIB = 256 };

static char path[4096], other[4096];
static const char *dir;
static int count;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void die(const char *what) {
  fprintf(stderr, "%s %s: %s\n", what, path, strerror(errno));
  exit(1);
}

static uint64_t next(void) {
  static uint64_t state = 88172645463325252ull;
  state ^= state << 13;
  state ^= state >> 7;
  return state ^= state << 17;
}

static char *noise(size_t bytes) {
  uint64_t *words = malloc(bytes);
  if (!words) die("malloc");
  for (size_t i = 0; i < bytes / 8; i++) words[i] = next();
  return (char *)words;
}

static int opened(char letter, int index, int flags) {
  snprintf(path, sizeof path, "%s/%c%d", dir, letter, index);
  int file = open(path, flags, 0644);
  if (file < 0) die("open");
  return file;
}

static int big(int flags) { return opened('b', 0, flags); }

static void put(int file, const char *bytes, size_t length, off_t at) {
  if (pwrite(file, bytes, length, at) != (ssize_t)length) die("write");
}

static void closed(int file) {
  if (close(file)) die("close");
}

static double create(size_t bytes, int is_synced) {
  char *block = noise((size_t)count * BLOCK);
  double began = now();
  for (int i = 0; i < count; i++) {
    int file = opened('f', i, O_CREAT | O_EXCL | O_WRONLY);
    if (bytes) put(file, block + (size_t)i * BLOCK, bytes, 0);
    if (is_synced && fsync(file)) die("fsync");
    closed(file);
  }
  return now() - began;
}

static double write_big(void) {
  char *bytes = noise((size_t)BIG_MIB * MIB);
  double began = now();
  int file = big(O_CREAT | O_TRUNC | O_WRONLY);
  for (int i = 0; i < BIG_MIB; i++) put(file, bytes + (size_t)i * MIB, MIB, (off_t)i * MIB);
  if (fsync(file)) die("fsync");
  closed(file);
  return now() - began;
}

static double read_big(void) {
  char *bytes = malloc(MIB);
  double began = now();
  int file = big(O_RDONLY);
  ssize_t got;
  while ((got = read(file, bytes, MIB)) > 0);
  if (got < 0) die("read");
  closed(file);
  return now() - began;
}

static double each_file(const char *what) {
  char *block = noise((size_t)count * BLOCK);
  struct stat st;
  double began = now();
  for (int i = 0; i < count; i++) {
    snprintf(path, sizeof path, "%s/f%d", dir, i);
    snprintf(other, sizeof other, "%s/g%d", dir, i);
    int failed = 0;
    if (!strcmp(what, "stat")) failed = lstat(path, &st);
    else if (!strcmp(what, "rename")) failed = rename(path, other);
    else if (!strcmp(what, "unlink")) failed = unlink(path);
    else {
      int file = opened('f', i, !strcmp(what, "overwrite") ? O_WRONLY : O_RDONLY);
      if (!strcmp(what, "overwrite")) put(file, block + (size_t)i * BLOCK, BLOCK, 0);
      if (!strcmp(what, "read")) failed = read(file, block, BLOCK) != BLOCK;
      closed(file);
    }
    if (failed) die(what);
  }
  return now() - began;
}

static double list(void) {
  double began = now();
  DIR *directory = opendir(dir);
  struct dirent *entry;
  struct stat st;
  // As ls: once the filesystem says that it has no labels, it is asked no more.
  int has_labels = 1;
  char label[256];
  if (!directory) die("opendir");
  for (count = 0; (entry = readdir(directory)); count++) {
    snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
    if (lstat(path, &st)) die("stat");
    if (has_labels && lgetxattr(path, "security.selinux", label, sizeof label) < 0) has_labels = errno != EOPNOTSUPP;
  }
  closedir(directory);
  return now() - began;
}

static double append(int is_synced) {
  char *lines = noise((size_t)count * LINE + 8);
  double began = now();
  int file = opened('a', 0, O_CREAT | O_WRONLY | O_APPEND);
  for (int i = 0; i < count; i++) {
    if (write(file, lines + (size_t)i * LINE, LINE) != LINE) die("append");
    if (is_synced && fdatasync(file)) die("fdatasync");
  }
  closed(file);
  return now() - began;
}

static double random_blocks(int is_written, int is_synced) {
  char *blocks = noise((size_t)count * BLOCK);
  double began = now();
  int file = big(is_written ? O_WRONLY : O_RDONLY);
  for (int i = 0; i < count; i++) {
    off_t at = (off_t)(next() % ((uint64_t)BIG_MIB * MIB / BLOCK)) * BLOCK;
    char *block = blocks + (size_t)i * BLOCK;
    if (is_written) put(file, block, BLOCK, at);
    else if (pread(file, block, BLOCK, at) != BLOCK) die("read");
    if (is_synced && fdatasync(file)) die("fdatasync");
  }
  closed(file);
  return now() - began;
}

static double run(const char *what) {
  if (!strcmp(what, "create") || !strcmp(what, "prepare-files")) return create(0, 0);
  if (!strcmp(what, "small") || !strcmp(what, "prepare-small")) return create(BLOCK, 0);
  if (!strcmp(what, "small-sync")) return create(BLOCK, 1);
  if (!strcmp(what, "seq-write") || !strcmp(what, "prepare-big")) return write_big();
  if (!strcmp(what, "seq-read") || !strcmp(what, "seq-reread")) return read_big();
  if (!strcmp(what, "list")) return list();
  if (!strcmp(what, "append")) return append(0);
  if (!strcmp(what, "append-sync")) return append(1);
  if (!strcmp(what, "random-read")) return random_blocks(0, 0);
  if (!strcmp(what, "random-write")) return random_blocks(1, 0);
  if (!strcmp(what, "random-sync")) return random_blocks(1, 1);
  return each_file(what);
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  dir = argv[1];
  count = atoi(argv[3]);
  double seconds = run(argv[2]);
  double amount = !strncmp(argv[2], "seq-", 4) ? BIG_MIB * (double)MIB / 1e6 : count;
  printf("%s %.0f\n", argv[2], amount / seconds);
  return 0;
}
