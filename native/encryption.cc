#include "encryption.h"

#include <fcntl.h>
#include <linux/fscrypt.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>

namespace syncline {

namespace {

// Keys of the first version of policies may also be in the keyrings of a process, where the kernel looks for them by this name.
bool HasOwnKey(const fscrypt_policy_v1& policy) {
  std::string name = "fscrypt:";
  for (const unsigned char byte : policy.master_key_descriptor) {
    char text[3];
    snprintf(text, sizeof text, "%02x", byte);
    name += text;
  }
  return syscall(SYS_request_key, "logon", name.c_str(), nullptr, 0) >= 0;
}

}  // namespace

bool IsLocked(int directory) {
  struct statx stat;
  if (statx(directory, "", AT_EMPTY_PATH, STATX_TYPE, &stat) != 0 || (stat.stx_attributes & STATX_ATTR_ENCRYPTED) == 0) return false;
  fscrypt_get_policy_ex_arg got = {};
  got.policy_size = sizeof got.policy;
  // Other kinds of encryption have the attribute, too.
  if (ioctl(directory, FS_IOC_GET_ENCRYPTION_POLICY_EX, &got) != 0) return false;
  fscrypt_get_key_status_arg key = {};
  const bool first = got.policy.version == FSCRYPT_POLICY_V1;
  if (first) {
    key.key_spec.type = FSCRYPT_KEY_SPEC_TYPE_DESCRIPTOR;
    memcpy(key.key_spec.u.descriptor, got.policy.v1.master_key_descriptor, FSCRYPT_KEY_DESCRIPTOR_SIZE);
  } else if (got.policy.version == FSCRYPT_POLICY_V2) {
    key.key_spec.type = FSCRYPT_KEY_SPEC_TYPE_IDENTIFIER;
    memcpy(key.key_spec.u.identifier, got.policy.v2.master_key_identifier, FSCRYPT_KEY_IDENTIFIER_SIZE);
  } else {
    return false;
  }
  if (ioctl(directory, FS_IOC_GET_ENCRYPTION_KEY_STATUS, &key) != 0) return false;
  // What is still open when a key is removed stays readable until it is closed; its names may change at any moment.
  if (key.status == FSCRYPT_KEY_STATUS_PRESENT) return false;
  return !first || !HasOwnKey(got.policy.v1);
}

}  // namespace syncline
