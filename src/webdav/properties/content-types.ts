/** A file's content type, by its name's extension. Content that a browser would run is served as a download. */
import type { FileName } from "../../base/ids.ts";

export function contentTypeOf(name: FileName): string {
  const dot = name.lastIndexOf(".");
  return (dot < 0 ? undefined : TYPES.get(name.slice(dot + 1).toLowerCase())) ?? "application/octet-stream";
}

/** Whether a browser would run scripts in it, with the rights of this origin. */
export function isActive(type: string): boolean {
  return /html|xml|svg|javascript|pdf/.test(type);
}

const TYPES = new Map<string, string>(
  Object.entries({
    aac: "audio/aac",
    avif: "image/avif",
    bmp: "image/bmp",
    css: "text/css; charset=utf-8",
    csv: "text/csv; charset=utf-8",
    doc: "application/msword",
    docx: "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    epub: "application/epub+zip",
    flac: "audio/flac",
    gif: "image/gif",
    gz: "application/gzip",
    heic: "image/heic",
    htm: "text/html; charset=utf-8",
    html: "text/html; charset=utf-8",
    ico: "image/vnd.microsoft.icon",
    ics: "text/calendar; charset=utf-8",
    jpeg: "image/jpeg",
    jpg: "image/jpeg",
    js: "text/javascript; charset=utf-8",
    json: "application/json",
    log: "text/plain; charset=utf-8",
    m4a: "audio/mp4",
    md: "text/markdown; charset=utf-8",
    mjs: "text/javascript; charset=utf-8",
    mov: "video/quicktime",
    mp3: "audio/mpeg",
    mp4: "video/mp4",
    odp: "application/vnd.oasis.opendocument.presentation",
    ods: "application/vnd.oasis.opendocument.spreadsheet",
    odt: "application/vnd.oasis.opendocument.text",
    oga: "audio/ogg",
    ogg: "audio/ogg",
    ogv: "video/ogg",
    opus: "audio/opus",
    pdf: "application/pdf",
    png: "image/png",
    ppt: "application/vnd.ms-powerpoint",
    pptx: "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    rtf: "application/rtf",
    svg: "image/svg+xml",
    tar: "application/x-tar",
    tif: "image/tiff",
    tiff: "image/tiff",
    txt: "text/plain; charset=utf-8",
    vcf: "text/vcard; charset=utf-8",
    wasm: "application/wasm",
    wav: "audio/wav",
    weba: "audio/webm",
    webm: "video/webm",
    webp: "image/webp",
    xhtml: "application/xhtml+xml",
    xls: "application/vnd.ms-excel",
    xlsx: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    xml: "application/xml",
    zip: "application/zip",
  }),
);
