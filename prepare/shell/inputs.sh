# shellcheck shell=sh
# Inputs that are known only when the pod starts: $FLEET_INPUTS is a JSON object of texts, numbers and booleans.

# Fills {inputs.NAME} into every Modelfile of the list. Fails with $why.
fill_inputs() {
    [ -n "$inputs" ] || return 0
    [ -r "$inputs" ] || { why="$inputs, where the inputs should be, is not there" && return "$NO_SOURCE"; }
    for template in "$work"/list/*.modelfile; do
        [ -f "$template" ] || continue
        if ! filled "$template" >"$work/filled"; then
            why="Modelfile wrong: $(cat "$work/refusal" 2>/dev/null)" && return "$WRONG_MODELFILE"
        fi
        mv "$work/filled" "$template"
    done
}

# Modelfile $1 with its inputs. Where it fails, $work/refusal says why. A value may not end the text that it stands in:
# it comes from elsewhere and must not add instructions.
filled() {
    INPUTS=$inputs REFUSAL=$work/refusal LC_ALL=C awk '
        function refuse(what) { print what >ENVIRON["REFUSAL"]; broken = 1; exit 1 }
        function misread() { refuse(file " is not a JSON object of texts, numbers and booleans, near byte " at) }
        function skip() { while (substr(text, at, 1) ~ /^[ \t\r\n]$/) at++ }
        function number(hex,    i, digit, sum) {
            if (length(hex) != 4) misread()
            for (i = 1; i <= 4; i++) {
                digit = index("0123456789abcdef", tolower(substr(hex, i, 1)))
                if (!digit) misread()
                sum = sum * 16 + digit - 1
            }
            return sum
        }
        function tail(code, shift) { return sprintf("%c", 128 + int(code / shift) % 64) }
        function utf8(code) {
            if (!code) misread() # no file of text has it, and awk would end the text there
            if (code < 128) return sprintf("%c", code)
            if (code < 2048) return sprintf("%c", 192 + int(code / 64)) tail(code, 1)
            if (code < 65536) return sprintf("%c", 224 + int(code / 4096)) tail(code, 64) tail(code, 1)
            return sprintf("%c", 240 + int(code / 262144)) tail(code, 4096) tail(code, 64) tail(code, 1)
        }
        function escaped(    sign, place, code) {
            sign = substr(text, at++, 1)
            place = index("nrtbf\"\\/", sign)
            if (sign != "" && place) return substr("\n\r\t\b\f\"\\/", place, 1)
            if (sign != "u") misread()
            code = number(substr(text, at, 4))
            at += 4
            if (code < 55296 || code > 57343) return utf8(code)
            # two halves of one character
            if (code > 56319 || substr(text, at, 2) != "\\u") misread()
            code = 65536 + (code - 55296) * 1024 + number(substr(text, at + 2, 4)) - 56320
            at += 6
            return utf8(code)
        }
        function string(    sign, out) {
            if (substr(text, at++, 1) != "\"") misread()
            while ((sign = substr(text, at++, 1)) != "\"") {
                if (sign == "") misread()
                out = out (sign == "\\" ? escaped() : sign)
            }
            return out
        }
        function plain(    word) {
            if (!match(substr(text, at, 64), /^(true|false|-?[0-9][0-9.eE+-]*)/)) misread()
            word = substr(text, at, RLENGTH)
            at += RLENGTH
            return word
        }
        function read_inputs(    line, name) {
            file = ENVIRON["INPUTS"]
            while ((getline line <file) > 0) text = text line "\n"
            at = 1
            skip()
            if (substr(text, at++, 1) != "{") misread()
            skip()
            if (substr(text, at, 1) == "}") return
            while (1) {
                skip()
                name = string()
                skip()
                if (substr(text, at++, 1) != ":") misread()
                skip()
                value[name] = substr(text, at, 1) == "\"" ? string() : plain()
                skip()
                if (substr(text, at, 1) != ",") break
                at++
            }
            if (substr(text, at++, 1) != "}") misread()
            skip()
            if (at <= length(text)) misread()
        }
        function marks(part) { return gsub(/"""/, "", part) }
        BEGIN { read_inputs() }
        {
            out = ""
            rest = $0
            while (match(rest, /\{inputs\.[A-Za-z0-9_]+\}/)) {
                before = substr(rest, 1, RSTART - 1)
                name = substr(rest, RSTART + 8, RLENGTH - 9)
                rest = substr(rest, RSTART + RLENGTH)
                block += marks(before)
                if (!(name in value)) refuse("{inputs." name "} has no value in " file)
                if (index(value[name], "\"\"\"")) refuse("the value of {inputs." name "} has \"\"\", which ends a text")
                if (value[name] ~ /[\r\n]/ && block % 2 == 0)
                    refuse("the value of {inputs." name "} has more than one line, and stands outside of \"\"\"")
                out = out before value[name]
            }
            block += marks(rest)
            print out rest
        }
        END { if (broken) exit 1 }' "$1"
}
