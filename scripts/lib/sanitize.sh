# Shared by scripts/test: the addon under AddressSanitizer and UBSan. Sourced, not run; after prepare.sh.

# Beside the ordinary build, which it leaves alone. package.json names it under the condition "sanitized".
sanitized=native/build-sanitized

# Test files that use the addon. None may run ps: with the sanitizer's library it hangs before its own code begins.
sanitized_tests=(test/unit/fuse/addon- test/unit/fuse/protocol test/unit/sync/scan/durable test/unit/sync/scan/walk test/contract/sync-disk
  test/property/content/gear test/e2e/fuse- test/e2e/pending)

# sanitize: builds the addon with both sanitizers, and has every Node.js that is started from here on load it.
sanitize() {
  local sources flags="-fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all -fno-omit-frame-pointer -g"
  sources=$(cat native/*.cc native/*.h native/binding.gyp | sha256sum)
  if ! is_fresh "$sanitized/.syncline-stamp" "$sources"; then
    say "Compiling the addon with AddressSanitizer and UBSan (about a minute) …"
    rm -rf "$sanitized"
    mkdir "$sanitized"
    cp native/*.cc native/*.h native/binding.gyp "$sanitized"
    CXXFLAGS=$flags LDFLAGS=$flags compile_addon "$sanitized" ||
      { tail -n 30 native-build.log >&2; fail "the addon did not compile: see native-build.log."; }
    rm -f native-build.log
    printf '%s' "$sources" >"$sanitized/.syncline-stamp"
  fi
  LD_PRELOAD=$(g++ -print-file-name=libasan.so)
  export LD_PRELOAD
  # Node.js itself frees little of what it has when it ends, so every process would be reported as a leak.
  export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 NODE_OPTIONS=--conditions=sanitized
}
