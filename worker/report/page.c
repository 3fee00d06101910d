/* page.c - the frame of a report. */
#include "worker/report/page.h"

#include "common/base/str.h"

#include <stdint.h>

static const char style[] =
    ":root{color-scheme:light dark;--ink:#1b1f24;--soft:#5b6570;--page:#f6f7f9;--card:#fff;"
    "--line:#dfe3e8;--ok:#1a7f4b;--warn:#c98a10;--bad:#c0392f;--bar:#3d6fd1;"
    "--p0:#3d6fd1;--p1:#1a8f8a;--p2:#7c56c8;--p3:#c98a10;--p4:#8b95a1}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6e9ed;--soft:#9aa4b0;--page:#14171b;"
    "--card:#1d2126;--line:#333a42;--ok:#3fb67c;--warn:#e0ab3f;--bad:#e5695f;--bar:#7aa2f0;"
    "--p0:#7aa2f0;--p1:#4fc0ba;--p2:#ae8ff0;--p3:#e0ab3f;--p4:#77828e}}"
    "*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);"
    "font:16px/1.5 system-ui,sans-serif}"
    "main{max-width:62rem;margin:0 auto;padding:1.5rem 1rem 3rem}"
    "h1{font-size:1.6rem;margin:0}h2{font-size:1.1rem;margin:0 0 .75rem}"
    "p{margin:.25rem 0}.soft{color:var(--soft)}.path{overflow-wrap:anywhere}"
    ".cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(max(8rem,22%),1fr));"
    "gap:.75rem;"
    "margin:1.25rem 0}.card,section{background:var(--card);border:1px solid var(--line);"
    "border-radius:.6rem;padding:.8rem 1rem}.card b{display:block;font-size:1.5rem;"
    "font-variant-numeric:tabular-nums;line-height:1.25}.card span{color:var(--soft);"
    "font-size:.85rem}.alarm b{color:var(--bad)}section{margin:0 0 1rem}"
    ".pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(22rem,100%),1fr));"
    "gap:0 1rem}"
    "svg{display:block;width:100%;max-width:30rem}svg text{font-size:12px;fill:var(--ink)}"
    "svg .end{text-anchor:end;fill:var(--soft)}"
    "svg.wide{max-width:none;height:1rem;border-radius:.3rem}"
    ".ok{fill:var(--ok)}.warn{fill:var(--warn)}.bad{fill:var(--bad)}.bar{fill:var(--bar)}"
    ".p0{fill:var(--p0)}.p1{fill:var(--p1)}.p2{fill:var(--p2)}"
    ".p3{fill:var(--p3)}.p4{fill:var(--p4)}"
    "svg .soft{fill:var(--soft)}.axis{stroke:var(--line);fill:none}"
    ".line{fill:none;stroke-width:2;stroke-linejoin:round}.line.ok{stroke:var(--ok)}"
    ".note{margin:-.5rem 0 1rem;font-size:.85rem}"
    ".key{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.35em}"
    ".key.ok{background:var(--ok)}.key.warn{background:var(--warn)}.key.bad{background:var(--bad)}"
    ".key.p0{background:var(--p0)}.key.p1{background:var(--p1)}.key.p2{background:var(--p2)}"
    ".key.p3{background:var(--p3)}.key.p4{background:var(--p4)}"
    ".legend{display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;margin-top:.6rem}"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;width:100%}"
    "td,th{padding:.3rem .75rem .3rem 0;text-align:left;border-top:1px solid var(--line);"
    "vertical-align:top}thead th{border-top:0;color:var(--soft);font-weight:500;font-size:.85rem}"
    "td.num,th.num{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}"
    "code{font:.9em ui-monospace,monospace}"
    ".strip{display:grid;grid-template-columns:repeat(auto-fill,minmax(6.5rem,1fr));gap:.5rem}"
    ".strip img{width:100%;aspect-ratio:1;object-fit:cover;border-radius:.4rem;display:block}"
    "figure{margin:0}figcaption{font-size:.75rem;overflow-wrap:anywhere}"
    "details{margin:.35rem 0}summary{cursor:pointer}";

void report_page_begin(struct buf *out, const char *title)
{
    buf_text(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                  "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
                  "<title>");
    str_html(out, title);
    buf_text(out, "</title>\n<style>");
    buf_text(out, style);
    buf_text(out, "</style>\n</head>\n<body>\n<main>\n<h1>");
    str_html(out, title);
    buf_text(out, "</h1>\n");
}

void report_page_end(struct buf *out)
{
    buf_text(out, "</main>\n</body>\n</html>\n");
}

void report_card(struct buf *out, const char *value, const char *label, bool alarm)
{
    buf_printf(out, "<div class=\"card%s\"><b>%s</b><span>%s</span></div>\n", alarm ? " alarm" : "",
               value, label);
}

void report_base64(struct buf *out, const void *data, size_t bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *from = data;
    for (size_t i = 0; i < bytes; i += 3) {
        const size_t left = bytes - i;
        uint32_t word = (uint32_t)from[i] << 16;
        if (left > 1) word |= (uint32_t)from[i + 1] << 8;
        if (left > 2) word |= from[i + 2];
        buf_byte(out, digits[word >> 18]);
        buf_byte(out, digits[word >> 12 & 63]);
        buf_byte(out, (char)(left > 1 ? digits[word >> 6 & 63] : '='));
        buf_byte(out, (char)(left > 2 ? digits[word & 63] : '='));
    }
}

void report_picture(struct buf *out, const char *alt, const void *jpeg, size_t bytes)
{
    buf_text(out, "<img alt=\"");
    str_html(out, alt);
    buf_text(out, "\" src=\"data:image/jpeg;base64,");
    report_base64(out, jpeg, bytes);
    buf_text(out, "\">");
}
