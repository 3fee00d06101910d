# help.awk - the comments above messages and fields of the job specs, as a C table:
#   {"MessageName", "field_name" or "", "comment in one line"},
# A comment directly above `message X {` or above a field belongs to it.
function quote(text) { gsub(/\\/, "\\\\", text); gsub(/"/, "\\\"", text); return text }
BEGIN {
    print "/* Generated from proto/schema/jobs. */"
    print "static const struct spec_help_line {"
    print "    const char *message, *field, *text;"
    print "} spec_help_lines[] = {"
}
FNR == 1 { message = ""; comment = "" }
/^[ \t]*\/\// {
    line = $0
    sub(/^[ \t]*\/\/ ?/, "", line)
    comment = comment == "" ? line : comment "\n" line
    next
}
/^[ \t]*message [A-Za-z]+/ {
    message = $2
    printf "    {\"%s\", \"\", \"%s\"},\n", message, join_lines(quote(comment))
    comment = ""
    next
}
/=[ ]*[0-9]+/ && message != "" {
    split($0, side, "=")
    count = split(side[1], word, /[ \t]+/)
    name = word[count] != "" ? word[count] : word[count - 1]
    printf "    {\"%s\", \"%s\", \"%s\"},\n", message, name, join_lines(quote(comment))
    comment = ""
    next
}
/^}/ { message = "" }
{ comment = "" }
END { print "    {0, 0, 0}};" }
function join_lines(text) { gsub(/\n/, "\\n", text); return text }
