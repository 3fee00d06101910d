# ratios.awk - what follows from the rows of tests/gpu (rows.h): shares of the card's ceiling, our
# rates beside those of the best algorithm and of PyTorch, and what was aimed at, met or missed.
# Rows go through as they are, behind them come the new ones; those of aims are always there.
BEGIN { FS = OFS = "\t" }

{
    line[NR] = $0
    name = $2
    sub(/ .*/, "", name)
}
$1 == "limits" && $2 ~ /8192x8192x8192/ { ceiling = $3 }
# "cuBLASLt MODEL PRODUCT SHAPE bf16", and beside it what needs split sums or workspace
$1 == "limits" && $2 ~ /^cuBLASLt [a-z]/ {
    product = substr($2, length("cuBLASLt ") + 1)
    whole[product] = $3
    split($5, word, " ")
    any[product] = word[1]
}
# "MODEL linear PRODUCT SHAPE bf16"
$1 == "ops" && $2 ~ / linear [a-z0-9]+ .* bf16$/ {
    product = $2
    sub(/ linear/, "", product)
    ours[product] = $3
    products[++products_count] = product
}
$2 ~ / attention .* bf16$/ {
    attention[$1, $2] = $3
    if ($1 == "ops") attentions[++attentions_count] = $2
}
$1 == "model" || $1 == "pytorch" {
    place = ""
    if ($2 ~ /from device memory$/) place = "device"
    if ($2 ~ /from host memory$/) place = "host"
    if (place && $3) rate[$1, name, place] = $3
    if (place == "device" && $1 == "model") {
        split($5, word, " ")
        flops[name] = word[1]
        models[++models_count] = name
    }
}
$1 == "shards" {
    sub(/,$/, "", name)
    if ($2 ~ /share of the fastest job/) busy[name] = $3
    if ($4 == "images/s" && $3 + 0 > shards[name] + 0) shards[name] = $3
}

function ratio(a, b) {
    return sprintf("%.3f", a / b)
}

# value: empty where it was not measured.
function aim(what, value, least) {
    verdict = "missed"
    if (value == "") verdict = "not measured"
    else if (value + 0 >= least) verdict = "met"
    print "aim", what, value, "", verdict
}

function beside(a, b) {
    return a && b ? ratio(a, b) : ""
}

END {
    for (i = 1; i <= NR; i++) {
        split(line[i], cell, "\t")
        if (ceiling && cell[4] == "TFLOP/s" && cell[5] == "")
            line[i] = line[i] sprintf("%.2f of the ceiling", cell[3] / ceiling)
        print line[i]
    }
    for (i = 1; i <= products_count; i++) {
        product = products[i]
        if (whole[product])
            print "ratio", product ": ours to the best whole algorithm", \
                ratio(ours[product], whole[product]), "", \
                sprintf("TFLOP/s: ours %s, best whole %s, best of all %s", ours[product], \
                    whole[product], any[product])
    }
    for (i = 1; i <= attentions_count; i++) {
        what = attentions[i]
        if (attention["pytorch", what])
            print "ratio", what " to PyTorch's", \
                ratio(attention["ops", what], attention["pytorch", what]), "", ""
    }
    for (i = 1; i <= models_count; i++) {
        name = models[i]
        if (ceiling)
            print "ratio", name " from device memory to the ceiling", \
                ratio(flops[name], ceiling), "", ""
        if (shards[name])
            print "ratio", name " from JPEG shards to device memory", \
                ratio(shards[name], rate["model", name, "device"]), "", ""
        split("device host", places, " ")
        for (p = 1; p <= 2; p++)
            if (rate["pytorch", name, places[p]])
                print "ratio", name " from " places[p] " memory to PyTorch", \
                    ratio(rate["model", name, places[p]], rate["pytorch", name, places[p]]), "", ""
    }
    name = "large-336"
    of_ceiling = beside(flops[name], ceiling)
    of_torch = beside(rate["model", name, "device"], rate["pytorch", name, "device"])
    aim(name ": 0.60 of the ceiling", of_ceiling, 0.60)
    aim(name ": 0.70 of the ceiling", of_ceiling, 0.70)
    aim(name ": 1.0 times compiled PyTorch", of_torch, 1.0)
    aim(name ": 1.2 times compiled PyTorch", of_torch, 1.2)
    aim(name ": from host memory 0.95 of that from device memory", \
        beside(rate["model", name, "host"], rate["model", name, "device"]), 0.95)
    aim(name ": device busy for 0.95 of an encode job", busy[name], 0.95)
}
