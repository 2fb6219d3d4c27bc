// Rates of a mounted directory as a program sees them. Prints one "name value" line per figure, in calls or MiB per second.
//   fuse-client DIR [FILES] [MIB]     FILES: files per directory (default 5000), MIB: size of the large file (default 128)
// Works in a new directory inside DIR and removes it. Needs root to drop the kernel's caches; without, "cold" is warm.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 4096, BIG = 1 << 20, RANDOM_WRITES = 2000, SYNCED_WRITES = 200 };

static char base[4000];
static char block[BIG];

static void die(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec + now.tv_nsec / 1e9;
}

static void report(const char *name, double amount, double since) {
  printf("%s %.0f\n", name, amount / (seconds() - since));
  fflush(stdout);
}

static const char *path_of(const char *directory, const char *prefix, int number) {
  static char paths[2][4096];
  static int turn;
  turn = !turn;
  snprintf(paths[turn], sizeof paths[turn], "%s/%s/%s%05d", base, directory, prefix, number);
  return paths[turn];
}

static void forget_caches(void) {
  sync();
  const int file = open("/proc/sys/vm/drop_caches", O_WRONLY);
  if (file < 0) return;
  if (write(file, "3", 1) != 1) die("drop_caches");
  close(file);
}

static int open_or_die(const char *path, int flags) {
  const int file = open(path, flags, 0644);
  if (file < 0) die(path);
  return file;
}

static void create_files(const char *directory, int count) {
  for (int i = 0; i < count; i++) close(open_or_die(path_of(directory, "file", i), O_CREAT | O_EXCL | O_WRONLY));
}

static void stat_files(const char *directory, int count) {
  struct stat st;
  for (int i = 0; i < count; i++) {
    if (lstat(path_of(directory, "file", i), &st)) die("lstat");
  }
}

static int list_with_attributes(const char *directory) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", base, directory);
  DIR *list = opendir(path);
  if (!list) die(path);
  int count = 0;
  struct stat st;
  for (struct dirent *entry; (entry = readdir(list)); count++) {
    if (fstatat(dirfd(list), entry->d_name, &st, AT_SYMLINK_NOFOLLOW)) die("fstatat");
  }
  closedir(list);
  return count;
}

static void names(int files) {
  double start = seconds();
  create_files("a", files);
  report("create", files, start);

  forget_caches();
  start = seconds();
  stat_files("a", files);
  report("stat_cold", files, start);
  start = seconds();
  stat_files("a", files);
  report("stat_warm", files, start);

  forget_caches();
  start = seconds();
  if (list_with_attributes("a") != files + 2) die("a listing is not complete");
  report("list_attributes_cold", files, start);
  start = seconds();
  list_with_attributes("a");
  report("list_attributes_warm", files, start);

  start = seconds();
  for (int i = 0; i < files; i++) {
    if (rename(path_of("a", "file", i), path_of("a", "name", i))) die("rename");
  }
  report("rename", files, start);
  start = seconds();
  for (int i = 0; i < files; i++) {
    if (unlink(path_of("a", "name", i))) die("unlink");
  }
  report("unlink", files, start);

  start = seconds();
  for (int i = 0; i < files; i++) {
    const int file = open_or_die(path_of("b", "file", i), O_CREAT | O_WRONLY);
    if (write(file, block, BLOCK) != BLOCK) die("write");
    close(file);
  }
  report("create_4k", files, start);
  for (int i = 0; i < files; i++) unlink(path_of("b", "file", i));
}

static void contents(int mib) {
  const char *path = path_of("b", "large", 0);
  int file = open_or_die(path, O_CREAT | O_RDWR);
  double start = seconds();
  for (int i = 0; i < mib; i++) {
    if (write(file, block, BIG) != BIG) die("write");
  }
  report("write_mib", mib, start);
  fsync(file);

  forget_caches();
  start = seconds();
  for (int i = 0; i < mib; i++) {
    if (pread(file, block, BIG, (off_t)i * BIG) != BIG) die("read");
  }
  report("read_cold_mib", mib, start);
  start = seconds();
  for (int i = 0; i < mib; i++) {
    if (pread(file, block, BIG, (off_t)i * BIG) != BIG) die("read");
  }
  report("read_warm_mib", mib, start);

  srand(1);
  start = seconds();
  for (int i = 0; i < RANDOM_WRITES; i++) {
    if (pwrite(file, block, BLOCK, (off_t)(rand() % (mib * 256)) * BLOCK) != BLOCK) die("pwrite");
  }
  report("write_4k_random", RANDOM_WRITES, start);
  start = seconds();
  for (int i = 0; i < SYNCED_WRITES; i++) {
    if (pwrite(file, block, BLOCK, (off_t)(rand() % (mib * 256)) * BLOCK) != BLOCK || fsync(file)) die("pwrite");
  }
  report("write_4k_fsync", SYNCED_WRITES, start);
  close(file);
  unlink(path);
}

int main(int count, char **arguments) {
  if (count < 2) {
    fprintf(stderr, "usage: fuse-client DIR [FILES] [MIB]\n");
    return 2;
  }
  const int files = count > 2 ? atoi(arguments[2]) : 5000, mib = count > 3 ? atoi(arguments[3]) : 128;
  snprintf(base, sizeof base, "%s/bench-XXXXXX", arguments[1]);
  if (!mkdtemp(base)) die(base);
  memset(block, 'x', sizeof block);
  char a[4096], b[4096];
  snprintf(a, sizeof a, "%s/a", base);
  snprintf(b, sizeof b, "%s/b", base);
  if (mkdir(a, 0755) || mkdir(b, 0755)) die("mkdir");
  names(files);
  contents(mib);
  if (rmdir(a) || rmdir(b) || rmdir(base)) die("rmdir");
  printf("cpu %d\n", sched_getcpu());
  return 0;
}
