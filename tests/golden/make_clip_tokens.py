#!/usr/bin/env python3
"""Writes tests/golden/clip_tokens/: a small CLIP vocabulary of our own, and what the references
make of some 650 texts with it.

Needs transformers, ftfy, regex and clip-anytorch (openai/CLIP's simple_tokenizer.py, unchanged):
    pip install transformers==5.23.0 ftfy regex
    pip install --no-deps clip-anytorch==2.6.0
    python3 tests/golden/make_clip_tokens.py
It writes
    vocab.json, merges.txt   a vocabulary trained here on SENTENCES
    tokenizer.json           transformers' CLIPTokenizer of those
    texts.txt                one case a line, as JSON: [text, HF's ids, OpenAI's ids (0: the same),
                             HF's text of its ids, OpenAI's text of its ids (0: the same)]
OpenAI's ids are without its first step, ftfy.fix_text, which worker/nn/text leaves out too.

    python3 tests/golden/make_clip_tokens.py --full FOLDER
writes the same files to FOLDER with CLIP's own vocabulary of 49,408 tokens, which clip-anytorch
carries; that is too large to keep here. Then
    CLIP_TOKENS=FOLDER build/asan/tests/unit.nn.text.golden_test
compares all of them, and this script says how many texts ftfy would change. With --every it adds a
text for each character that this Python knows; Python 3.11 knows Unicode 14, as Debian 12 does.
"""

import argparse
import collections
import gzip
import html
import importlib.util
import json
import pathlib
import random
import site
import tempfile
import unicodedata

import ftfy
from transformers import CLIPTokenizer

HERE = pathlib.Path(__file__).parent
MERGES = 675
START, END = "<|startoftext|>", "<|endoftext|>"

SENTENCES = """
a photo of a cat sitting on the windowsill in the morning sun
two dogs are playing with a red ball on the beach near the sea
an old man is reading a newspaper on a wooden bench in the park
the city skyline at night with bright lights and a full moon
a close up of a plate with rice, vegetables and grilled fish
children running through a field of yellow flowers in summer
it's raining outside and we're staying home, they've made tea and I'm glad you'll come
a portrait of a young woman in a blue dress, black and white photograph
mountains covered with snow behind a green lake and a small house
a train station full of people who don't look at each other
the best recipe for bread: flour, water, salt and time (and patience!)
a screenshot of a computer program with many buttons and windows
vintage car, painted in dark green, parked in front of a restaurant
an illustration of a robot holding an umbrella, digital art, 4k, highly detailed
free download of the new version for windows and android, 100% free!!!
she'd like to travel around the world by bicycle in 2024 or 2025
ein Hund läuft über die Straße, während die Katze schläft
la tour eiffel à paris, vue de la fenêtre d'un hôtel près de la seine
el niño pequeño mira el océano con su abuelo en españa
uma menina canta uma canção no jardim da avó
кошка сидит на окне и смотрит на улицу, где идёт снег
η γάτα κοιμάται στον ήλιο και ο σκύλος τρέχει
kedi güneşte uyuyor, ışık çok güzel
日本の桜は春に咲きます 東京の写真
一张猫坐在窗台上的照片 北京
한국의 가을 산 사진
""".strip().split("\n")


def alphabet_bytes():
    own = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return own + [byte for byte in range(256) if byte not in own]


def alphabet():
    """The characters that stand for alphabet_bytes."""
    return [chr(byte) for byte in alphabet_bytes()[:188]] + [chr(256 + i) for i in range(68)]


def joined(word, pair):
    """The word's symbols with each such pair made one."""
    made, at = [], 0
    while at < len(word):
        size = 2 if word[at : at + 2] == pair else 1
        made.append("".join(word[at : at + size]))
        at += size
    return tuple(made)


def trained_merges():
    """Byte pair encoding of the sentences; of equally frequent pairs the first by its letters."""
    letters = dict(zip(alphabet_bytes(), alphabet()))
    words = collections.Counter()
    for word in CLIP_WORDS.findall("\n".join(SENTENCES).lower()):
        symbols = [letters[byte] for byte in word.encode()]
        words[tuple(symbols[:-1] + [symbols[-1] + "</w>"])] += 1
    merges, seen = [], set()
    while len(merges) < MERGES:
        pairs = collections.Counter()
        for word, count in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += count
        pair = min((p for p in pairs if "".join(p) not in seen), key=lambda p: (-pairs[p], p))
        seen.add("".join(pair))
        merges.append(pair)
        words = collections.Counter({joined(word, pair): n for word, n in words.items()})
    return merges


def reference_module():
    for folder in site.getsitepackages():
        path = pathlib.Path(folder) / "clip" / "simple_tokenizer.py"
        if path.exists():
            spec = importlib.util.spec_from_file_location("simple_tokenizer", path)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    raise SystemExit("clip/simple_tokenizer.py is missing: pip install --no-deps clip-anytorch")


OPENAI = reference_module()
CLIP_WORDS = OPENAI.SimpleTokenizer().pat


def without_ftfy(text):
    return html.unescape(html.unescape(text)).strip()


def openai_tokenizer(merges):
    """The reference with these merges; ftfy's part is left out."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "merges.gz"
        lines = ["#version: 0.2"] + [" ".join(pair) for pair in merges]
        path.write_bytes(gzip.compress("\n".join(lines).encode()))
        OPENAI.basic_clean = without_ftfy
        return OPENAI.SimpleTokenizer(str(path))


PLAIN = """a photo of a cat.
|A PHOTO OF A CAT|Hello, World!|two  spaces|  leading|trailing  |tab\there
|line\nbreak|it's|IT'S|It’s|we're WE'RE We'Re|they've|i'm I'M|you'll YOU'LL|she'd SHE'D
|can't CAN'T|don''t|'s|'S 's' 'tis|rock'n'roll|o'clock|d'un hôtel|l'été|'re're're|'ſ 'ſſ
|'s't're've'm'll'd|'ll'LL|a's1's|100% free!!!|1234567890|3.14159|1,000,000|$9.99|50%|a1b2c3
|2nd 3RD|x²+y³=z⁴|½ ¼ ¾|Ⅷ ⅷ|①②③|٠١٢٣٤|०१२३|๑๒๓|１２３|𝟙𝟚𝟛|߁߂|൧൨|𑁦𑁧|http://example.com/a?b=c&d=e#f
|user@example.org|#hashtag @name|snake_case camelCase kebab-case|C++ & C#|a/b\\c|!!!|...|…|?!?!
|---|***bold***|_under_|~tilde~|`code`|^caret^|(paren)|[bracket]|{brace}|<tag>|</w>|a</w>b|</w
|"quoted"|“curly”|‘single’|«guillemets»|ß|STRASSE straße STRAẞE|İ|İstanbul ISTANBUL ıI|ΑΣ|ΣΑΣ
|ὈΔΥΣΣΕΎΣ|Σ|ΣΣ|αΣ.|ΑΣ' Β|Α'Σ|Α.Σ|ΑΣ Β|ΑΣ\u0301|ΑΣ\u0301Β|ΑΣ1|1Σ|ΑΣ\u00adΒ|Α\u00adΣ
|ΟΔΟΣ ΟΔΟΣ, ΟΔΟΣ.ΟΔΟΣ|ʰΣ|ªΣ|ΑʰΣ|ΣΑ|A\u0345Σ|Ⅷ Σ ⓈΣ|ﬁ ﬂ ﬀ ﬃ ﬄ ﬅ ﬆ|ĳ Ĳ ǆ ǅ Ǆ|Œuvre œuf|Æther æ
|Ǳ ǲ ǳ|ſ|Kelvin \u212a|Å \u212b A\u030a|Ω \u2126|é e\u0301 E\u0301|ñ n\u0303|ü u\u0308
|a\u0323\u0307 a\u0307\u0323|ạ\u0307|q\u0307\u0323|Ç C\u0327|ṩ s\u0323\u0307 s\u0307\u0323|ằ
|ế ê\u0301 e\u0302\u0301|한글 \u1112\u1161\u11ab|각 \u1100\u1161\u11a8|\u0344|\u0958|\u0340\u0341
|\u0387 \u037e|\u1fef|\u2329\u232a|豈 \uf900|\ufb1d|\U0001d15e|\U0002f800|a\u034f\u0301
|\u0301alone|\u0f73|\u0f71\u0f72|日本の桜は春に咲きます|東京の写真|一张猫坐在窗台上的照片|北京欢迎你|한국의 가을|ｆｕｌｌｗｉｄｔｈ ＡＢＣ|ｶﾞｷﾞ
|カタカナ ひらがな|漢字かな交じり文|𠮷野家|㍿ ㌔|、。「」|кошка сидит на окне|МОСКВА|Ёлка ёлка е\u0308|їжак|η γάτα|ΕΛΛΆΔΑ
|Հայաստան|ᲐᲑᲒ აბგ|ᏣᎳᎩ ꮳꮃꭹ|𐐀𐐨|𞤀𞤢|Ⰰⰰ|Ꙁꙁ|שלום עולם|مرحبا بالعالم|سلام\u200cدنیا|اردو زبان|ܫܠܡܐ
|नमस्ते दुनिया|வணக்கம்|ขอบคุณครับ|ສະບາຍດີ|မင်္ဂလာပါ|ជំរាបសួរ|ሰላም|བཀྲ་ཤིས|ᠮᠣᠩᠭᠣᠯ|😀|😀😃😄|👨‍👩‍👧‍👦|👍🏽
|🏳️‍🌈|🇩🇪🇫🇷|❤️|♥|☺ ☺️|1️⃣2️⃣|🧑🏿‍🚀 in space|cat 🐱 dog 🐶|🫠🫡|👩🏻‍❤️‍💋‍👨🏾|\u200d|\ufe0f|e🙂e
|\u00a0nbsp\u00a0|a\u00a0b|a\u2003b|a\u3000b|a\u200bb|a\u2028b\u2029c|a\u1680b|a\u180eb|a\u202fb
|a\u205fb|a\u0085b|a\x0bb\x0cc\rd|a\x1cb\x1dc\x1ed\x1ff|\x1ca\x1f|\ufeffbom|a\ufeffb|\u2060wj
|\x01\x02|a\x07b|\x7f|\x80\x9f|\x1b[31mred\x1b[0m|a\u00adb|\u202eabc|\u2066x\u2069|\ufffd
|\ufffe\uffff|\ufdd0|\U0010ffff|\ue000|\U000f0000|cafÃ©|â€œquotesâ€\u009d|Ã¼ber|ðŸ˜€|Ð¿Ñ€Ð¸Ð²ÐµÑ‚
|schÃ¶n|itâ€™s|Â£100|ÃƒÂ©|naïve cafÃ© naïve|&amp;|&amp;amp;|&amp;amp;amp;|&lt;b&gt;|&quot;x&quot;
|&#39;s|it&#39;s|it&#x27;S|&nbsp;a&nbsp;b|&eacute;|&Eacute|&eacutex|&copy 2024|&copy2024|&notit;
|&notin;|&notin|&no|&n|&|&;|&#;|&#x;|&#xg;|&# 39;|& amp;|&AMP;|&aMp;|&#0;|&#13;|&#128;|&#x80;
|&#129;|&#x9F|&#xD800;|&#x110000;|&#99999999999999999999;|&#x1F600;|&#1;|&#11;|&#12;|&#127;
|&#xFDD0;|&#xFFFE;|&#xFFFF;|&#x1FFFF;|&#65|&#65a|&#x41g|&#65;&#66;|&#039;|&#x00041;|&amp;eacute;
|&amp;#39;|&amp;lt;|&ampamp;|&ampeacute;|&nGt;|&fjlig;|&bnot;|&ThickSpace;|&NewLine;a&Tab;b|&zwj;
|&ngE;|&CounterClockwiseContourIntegral;|&CounterClockwiseContourIntegralx;
|&aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa;|&Σ;|&é;
|&ééééééééééééééééééééééééééééééééééé;|&lt&gt|&ltgt;|&LT;script&GT;|&amp &amp|&a&amp;b|&\x00;
|&Sigma;&Alpha;&Sigma;|&Idot;|&szlig;&Szlig;|&hearts;&hearts|&#8217;&rsquo;|AT&T|R&D|a&b=c&lang=d
|&lang|&lang;&rang;|&yen&pound|&para;graph|&parallel;|&timesb|&timesbar;|&sup2x|&frac12;
"""


def plain_texts():
    return PLAIN.rstrip("\n").replace("\n|", "|").split("|")


def special_texts():
    upper = "<|ENDOFTEXT|>"
    return ["<|", "|>", "<|endoftext", "endoftext|>", "<|end oftext|>", "x" + END, END + "x",
            END + END + START, END + " " + START, "a " + END + " b", upper, upper + END,
            "&lt;|endoftext|&gt;", "&amp;lt;|endoftext|&amp;gt;", END + "'s", "'" + END + "'",
            "!" + END + "!", "e\u0301" + END + "\u0301", "\u03a3" + END + "\u03a3",
            "<|\u017ftartoftext|>", "<|startof\u212aext|>", START + "A PHOTO" + END, END + "\n",
            " " * 3 + END, END * 5, "<" + END + ">", "<|" + END, END[:-1] + END, START[:5] + START,
            START, END, START + " a " + END, "<|\u0131endoftext|>", "&lt;" + END[1:],
            "<start_of_text>", "<|EndOfText|>s", "1" + END + "2", "\u65e5" + END + "\u672c"]


def long_texts():
    return ["a" * 600, "ab" * 300, "the" * 200, "!" * 500, "1" * 90, "\u65e5" * 90,
            "\U0001f600" * 90, "e\u0301" * 90, "a" + "\u0301\u0323" * 60, "cat " * 90,
            " " * 1000, "a " * 90,
            "\u0130" * 60, "\u03a3" * 60, "&amp;" * 60, "'s" * 60, END * 90,
            "a photo of a " * 30 + "cat", "x" * 76, "a b " * 38, "a b " * 37 + "c",
            "supercalifragilisticexpialidocious", "pneumonoultramicroscopicsilicovolcanoconiosis",
            "donaudampfschifffahrtsgesellschaftskapit\u00e4n"]


def is_known(character):
    return unicodedata.category(character) not in ("Cn", "Cs", "Co")


def every_character():
    """A text for each character; of the large blocks that are alike, a part."""
    alike = ((0x4E00, 0xA000, 13), (0x20000, 0x31350, 17), (0xAC00, 0xD7A4, 5))
    for point in range(1, 0x110000):
        c = chr(point)
        if not is_known(c) or any(a <= point < b and point % n for a, b, n in alike):
            continue
        yield f"{c} A{c}b1{c}\u03a3 {c}{c}'{c} .{c}"


def random_texts():
    """Words of the sentences and characters of every script that this Python knows."""
    chance = random.Random(5)
    words = " ".join(SENTENCES).split()
    known = [c for c in map(chr, range(1, 0x20000)) if is_known(c)]
    odd = list(
        "'&;#<|> \t\n.,!?-\u03a3\u03c3\u0130\u0131\u00df\u017f\u0301\u0323\u200d\ufe0f\u00a0\u3000"
    )
    texts = []
    for number in range(240):
        parts = []
        for _ in range(chance.randrange(2, 14)):
            kind = chance.randrange(4)
            if kind < 2:
                word = chance.choice(words)
                parts.append(chance.choice([word, word.upper(), word.title(), word + " "]))
            elif kind == 2:
                parts.append("".join(chance.choices(odd, k=chance.randrange(1, 5))))
            else:
                parts.append("".join(chance.choices(known, k=chance.randrange(1, 6))))
        texts.append(chance.choice(["", " "]).join(parts))
    return texts


def all_texts():
    texts = [""] + plain_texts() + special_texts() + long_texts() + random_texts() + SENTENCES
    return list(dict.fromkeys(texts))


def write(folder, merges, texts):
    openai = openai_tokenizer(merges)
    hf = CLIPTokenizer(vocab=dict(openai.encoder), merges=merges)
    ends = [openai.encoder[START], openai.encoder[END]]
    backend = json.loads(hf.backend_tokenizer.to_str())
    folder.mkdir(parents=True, exist_ok=True)
    dump = {"ensure_ascii": False, "separators": (",", ":")}
    (folder / "vocab.json").write_text(json.dumps(openai.encoder, **dump) + "\n")
    (folder / "merges.txt").write_text(
        "#version: 0.2\n" + "".join(" ".join(pair) + "\n" for pair in merges))
    (folder / "tokenizer.json").write_text(json.dumps(backend, **dump) + "\n")
    lines, changed = [], 0
    for text in texts:
        one = hf(text)["input_ids"]
        other = [ends[0]] + openai.encode(text) + [ends[1]]
        back, back_other = hf.decode(one), openai.decode(other)
        case = [text, one, 0 if other == one else other]
        case += [back, 0 if back_other == back else back_other]
        lines.append(json.dumps(case, separators=(",", ":")))
        changed += openai.encode(ftfy.fix_text(text)) != other[1:-1]
    (folder / "texts.txt").write_text("\n".join(lines) + "\n")
    print(f"{len(texts)} texts, {changed} of which get other ids by ftfy.fix_text")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--full", metavar="FOLDER", type=pathlib.Path)
    parser.add_argument("--every", action="store_true", help="also every character of Unicode")
    options = parser.parse_args()
    if options.full:
        lines = gzip.open(OPENAI.default_bpe()).read().decode().split("\n")
        merges = [tuple(line.split()) for line in lines[1 : 49152 - 256 - 2 + 1]]
        write(options.full, merges, all_texts() + list(every_character() if options.every else []))
    else:
        write(HERE / "clip_tokens", trained_merges(), all_texts())


if __name__ == "__main__":
    main()
