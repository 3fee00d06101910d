#!/bin/sh
# lua_embed.sh OUT PART... - joins Lua files into a C array named lua_library (zero-terminated).
set -eu
out=$1
shift
{
    echo "/* Generated from broker/state/lua. */"
    echo "static const char lua_library[] = {"
    cat "$@" | od -An -v -tu1 | sed 's/ *\([0-9][0-9]*\)/\1,/g'
    echo "0};"
} >"$out.part"
mv "$out.part" "$out"
