package serve

// The grammar of JSON (RFC 8259). White space is what models write between tokens, and not without end.
var (
	digit    = between('0', '9')
	hexDigit = either(digit, between('a', 'f'), between('A', 'F'))
	space    = maybe(either(text(" "), then(text("\n"), upTo(text(" "), 24))))
	jsonChar = either(
		between(0x20, '!'),
		between('#', '['),
		between(']', 0x7f),
		between(0x80, 0xff),
		then(text(`\`), either(bytesOf(`"\/bfnrt`), then(text("u"), hexDigit, hexDigit, hexDigit, hexDigit))),
	)
	jsonString = then(text(`"`), any0(jsonChar), text(`"`))
	jsonInt    = then(maybe(text("-")), either(text("0"), then(between('1', '9'), upTo(digit, 18))))
	jsonNumber = then(
		jsonInt,
		maybe(then(text("."), digit, upTo(digit, 17))),
		maybe(then(bytesOf("eE"), maybe(bytesOf("+-")), digit, maybe(digit))),
	)
	jsonValue  = &node{kind: reference}
	jsonObject = object(jsonString, jsonValue)
)

func init() { // the one recursive rule
	jsonValue.body = either(
		jsonObject,
		listOf(jsonValue, 0, -1),
		jsonString,
		jsonNumber,
		text("true"),
		text("false"),
		text("null"),
	)
}

// upTo is n at most most times.
func upTo(n *node, most int) *node {
	out := then()
	for range most {
		out = maybe(then(n, out))
	}
	return out
}

// object has any keys, each with a value.
func object(key, value *node) *node {
	member := then(key, space, text(":"), space, value)
	return then(text("{"), space, maybe(then(member, any0(then(space, text(","), space, member)), space)), text("}"))
}

// listOf has least to most items; −1: any number.
func listOf(item *node, least, most int) *node {
	more := then(space, text(","), space, item)
	var rest *node
	if most < 0 {
		rest = any0(more)
	} else {
		rest = upTo(more, most-max(least, 1))
	}
	items := then()
	if most != 0 {
		items = then(item)
		for range least - 1 {
			items.list = append(items.list, more)
		}
		items.list = append(items.list, rest, space)
		if least == 0 {
			items = maybe(items)
		}
	}
	return then(text("["), space, items, text("]"))
}

// jsonRune is one whole character of a string, whose length a schema counts.
var jsonRune = func() *node {
	more := between(0x80, 0xbf)
	return either(
		between(0x20, '!'),
		between('#', '['),
		between(']', 0x7f),
		then(between(0xc2, 0xdf), more),
		then(between(0xe0, 0xef), more, more),
		then(between(0xf0, 0xf4), more, more, more),
		then(text(`\`), bytesOf(`"\/bfnrt`)),
	)
}()
