// Metadata rates as a client sees them: client DIR WORKLOAD COUNT prints "WORKLOAD rate-per-second".
// Workloads make what they need first, untimed; "stat" and "list" drop the kernel's caches before they start (root only).
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char path[4096], other[4096];

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void die(const char *what) {
  fprintf(stderr, "%s %s: %s\n", what, path, strerror(errno));
  exit(1);
}

static void make(const char *dir, int index, size_t bytes) {
  static char block[4096];
  snprintf(path, sizeof path, "%s/f%d", dir, index);
  int file = open(path, O_CREAT | O_EXCL | O_WRONLY, 0644);
  if (file < 0) die("create");
  if (bytes && write(file, block, bytes) != (ssize_t)bytes) die("write");
  if (close(file)) die("close");
}

static void drop_caches(void) {
  sync();
  int file = open("/proc/sys/vm/drop_caches", O_WRONLY);
  if (file < 0) return;
  if (write(file, "2", 1) != 1) perror("drop_caches");
  close(file);
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  const char *dir = argv[1], *workload = argv[2];
  int count = atoi(argv[3]), done = 0;
  int makes = !strcmp(workload, "create") || !strcmp(workload, "small");
  if (!makes) for (int i = 0; i < count; i++) make(dir, i, 0);
  if (!strcmp(workload, "stat") || !strcmp(workload, "list")) drop_caches();
  double began = now();
  if (makes) {
    for (; done < count; done++) make(dir, done, !strcmp(workload, "small") ? 4096 : 0);
  } else if (!strcmp(workload, "stat")) {
    struct stat st;
    for (; done < count; done++) {
      snprintf(path, sizeof path, "%s/f%d", dir, done);
      if (lstat(path, &st)) die("stat");
    }
  } else if (!strcmp(workload, "list")) {
    DIR *opened = opendir(dir);
    struct dirent *entry;
    struct stat st;
    if (!opened) die("opendir");
    while ((entry = readdir(opened))) {
      if (fstatat(dirfd(opened), entry->d_name, &st, AT_SYMLINK_NOFOLLOW)) die("stat");
      done++;
    }
    closedir(opened);
  } else if (!strcmp(workload, "rename")) {
    for (; done < count; done++) {
      snprintf(path, sizeof path, "%s/f%d", dir, done);
      snprintf(other, sizeof other, "%s/g%d", dir, done);
      if (rename(path, other)) die("rename");
    }
  } else if (!strcmp(workload, "unlink")) {
    for (; done < count; done++) {
      snprintf(path, sizeof path, "%s/f%d", dir, done);
      if (unlink(path)) die("unlink");
    }
  } else {
    return 2;
  }
  printf("%s %.0f\n", workload, done / (now() - began));
  return 0;
}
