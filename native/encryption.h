// Directories whose names fscrypt encrypts (Linux: Documentation/filesystems/fscrypt.rst).
#pragma once

namespace syncline {

// Whether the key of a directory, opened for reading, is missing. Linux then lists made-up names instead of failing. False also if unknown.
bool IsLocked(int directory);

}  // namespace syncline
