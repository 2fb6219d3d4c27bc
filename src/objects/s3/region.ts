/** Whether a text can be a region. At AWS it is a part of the host's name, so nothing else may come in by it. */
export function isRegion(text: string): boolean {
  // OpenStack has capitals: RegionOne.
  return /^[a-z0-9-]{1,63}$/i.test(text);
}
