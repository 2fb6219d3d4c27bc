/** Whether a text can be a region. At AWS it becomes a part of the host name, and must not lead to another host. */
export function isRegion(text: string): boolean {
  // OpenStack has capitals: RegionOne.
  return /^[a-z0-9-]{1,63}$/i.test(text);
}
