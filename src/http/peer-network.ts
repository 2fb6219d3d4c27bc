/** The network of an address: bounds by address use it. */
import { isIPv6 } from "node:net";

/** For IPv6 the first 64 bits: the rest belongs to one network. */
export function networkOf(address = ""): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/, "");
  if (!isIPv6(plain)) return plain;
  const [head = "", tail = ""] = plain.split("::");
  const groups = head.split(":").filter(Boolean);
  const missing = plain.includes("::") ? 8 - groups.length - tail.split(":").filter(Boolean).length : 0;
  return [...groups, ...Array.from({ length: missing }, () => "0"), ...tail.split(":").filter(Boolean)]
    .slice(0, 4)
    .join(":");
}
