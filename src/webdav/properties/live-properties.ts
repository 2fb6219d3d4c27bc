/** Properties that the server computes (RFC 4918, section 15; RFC 4331; RFC 6578), as pieces of XML. */
import type { FileName } from "../../base/ids.ts";
import { nameToText } from "../../base/names.ts";
import { timeText } from "../../base/clock.ts";
import type { ListedAttributes } from "../../vfs/filesystem.ts";
import { contentTypeOf } from "./content-types.ts";
import { httpDate } from "./http-date.ts";
import type { Lock } from "../locks/locks.ts";
import { activeLock } from "../locks/lock-xml.ts";
import { isFolder } from "../../files/resolved-path.ts";
import type { StorageSpace } from "../../overlay/disk/storage.ts";
import type { PropertyName } from "./property-name.ts";
import { escapeText } from "../xml/xml-text.ts";

/** A resource, as properties see it. */
export interface Shown {
  /** Undefined for the root. */
  readonly name: FileName | undefined;
  readonly attributes: ListedAttributes;
}

/** Values that are looked up only when a property needs them. */
export interface Surroundings {
  locksOf(shown: Shown): readonly Lock[];
  secondsLeft(lock: Lock): number;
  /** Throws BlockMiss. */
  etag(attributes: ListedAttributes): string;
  /** The checksums of the bytes with this tag, if a client sent them. */
  checksums(etag: string): string | undefined;
  statFs(): StorageSpace;
  syncToken(): string | undefined;
}

export interface LiveProperty {
  /** Whether allprop includes it. */
  readonly isCommon: boolean;
  /** The whole element, or undefined when this resource has none. */
  read(shown: Shown, around: Surroundings): string | undefined;
}

const COLLECTION = "<D:resourcetype><D:collection/></D:resourcetype>";
const NO_TYPE = "<D:resourcetype/>";
const LOCK_KINDS = ["exclusive", "shared"]
  .map(
    (scope) => `<D:lockentry><D:lockscope><D:${scope}/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockentry>`,
  )
  .join("");
const SUPPORTED_LOCK = `<D:supportedlock>${LOCK_KINDS}</D:supportedlock>`;
const SYNC_REPORT =
  "<D:supported-report-set><D:supported-report><D:report><D:sync-collection/></D:report></D:supported-report></D:supported-report-set>";

export const WIN32 = "urn:schemas-microsoft-com:";
export const OWNCLOUD = "http://owncloud.org/ns";
export const APACHE = "http://apache.org/dav/props/";
/** What a server announces that has them. */
export const APACHE_SETS = "http://apache.org/dav/propset/fs/1";

export const LIVE_PROPERTIES: ReadonlyMap<PropertyName, LiveProperty> = new Map<PropertyName, LiveProperty>([
  ["{DAV:}resourcetype", common(({ attributes }) => (isFolder(attributes) ? COLLECTION : NO_TYPE))],
  [
    "{DAV:}getcontentlength",
    common(ofFile(({ attributes }) => `<D:getcontentlength>${attributes.size}</D:getcontentlength>`)),
  ],
  [
    "{DAV:}getlastmodified",
    common(({ attributes }) => `<D:getlastmodified>${httpDate(attributes.mtimeNs)}</D:getlastmodified>`),
  ],
  [
    "{DAV:}getetag",
    common(
      ofFile(({ attributes }, around) => `<D:getetag>${around.etag(attributes).replaceAll('"', "&quot;")}</D:getetag>`),
    ),
  ],
  [
    "{DAV:}getcontenttype",
    common(
      ofFile(({ name }) => `<D:getcontenttype>${name === undefined ? "" : contentTypeOf(name)}</D:getcontenttype>`),
    ),
  ],
  ["{DAV:}creationdate", common(({ attributes }) => `<D:creationdate>${creation(attributes)}</D:creationdate>`)],
  [
    "{DAV:}displayname",
    common(({ name }) => `<D:displayname>${name === undefined ? "" : escapeText(nameToText(name))}</D:displayname>`),
  ],
  ["{DAV:}supportedlock", common(() => SUPPORTED_LOCK)],
  ["{DAV:}lockdiscovery", common(lockDiscovery)],
  [
    `{${APACHE}}executable`,
    common(ofFile(({ attributes }) => `<A:executable xmlns:A="${APACHE}">${executable(attributes)}</A:executable>`)),
  ],
  [
    `{${WIN32}}Win32LastModifiedTime`,
    rare(
      ({ attributes }) =>
        `<Z:Win32LastModifiedTime xmlns:Z="${WIN32}">${httpDate(attributes.mtimeNs)}</Z:Win32LastModifiedTime>`,
    ),
  ],
  [`{${OWNCLOUD}}checksums`, rare(ofFile(checksums))],
  ["{DAV:}quota-available-bytes", rare(ofFolder((around) => quota("available", free(around.statFs()))))],
  ["{DAV:}quota-used-bytes", rare(ofFolder((around) => quota("used", used(around.statFs()))))],
  [
    "{DAV:}supported-report-set",
    rare(ofFolder((around) => (around.syncToken() === undefined ? undefined : SYNC_REPORT))),
  ],
  [
    "{DAV:}sync-token",
    rare(
      ofFolder((around) => {
        const token = around.syncToken();
        return token === undefined ? undefined : `<D:sync-token>${escapeText(token)}</D:sync-token>`;
      }),
    ),
  ],
]);

type Read = LiveProperty["read"];

function common(read: Read): LiveProperty {
  return { isCommon: true, read };
}

function rare(read: Read): LiveProperty {
  return { isCommon: false, read };
}

function ofFile(read: Read): Read {
  return (shown, around) => (isFolder(shown.attributes) ? undefined : read(shown, around));
}

function ofFolder(read: (around: Surroundings) => string | undefined): Read {
  return (shown, around) => (isFolder(shown.attributes) ? read(around) : undefined);
}

function checksums({ attributes }: Shown, around: Surroundings): string | undefined {
  const text = around.checksums(around.etag(attributes));
  if (text === undefined) return undefined;
  return `<oc:checksums xmlns:oc="${OWNCLOUD}"><oc:checksum>${text}</oc:checksum></oc:checksums>`;
}

function lockDiscovery(shown: Shown, around: Surroundings): string {
  const locks = around.locksOf(shown);
  if (locks.length === 0) return "<D:lockdiscovery/>";
  return `<D:lockdiscovery>${locks.map((lock) => activeLock(lock, around.secondsLeft(lock))).join("")}</D:lockdiscovery>`;
}

/** Creation times are not stored: this is the earlier of the two stored. Windows takes no fractions of a second. */
function creation({ mtimeNs, ctimeNs }: ListedAttributes): string {
  return timeText(mtimeNs < ctimeNs ? mtimeNs : ctimeNs).replace(/\.\d+Z$/, "Z");
}

function executable({ mode }: ListedAttributes): "T" | "F" {
  return (mode & 0o100) === 0 ? "F" : "T";
}

function quota(kind: "available" | "used", bytes: number): string {
  return `<D:quota-${kind}-bytes>${bytes}</D:quota-${kind}-bytes>`;
}

function free({ freeBlocks, blockSize }: StorageSpace): number {
  return freeBlocks * blockSize;
}

function used({ blocks, freeBlocks, blockSize }: StorageSpace): number {
  return Math.max(0, blocks - freeBlocks) * blockSize;
}
