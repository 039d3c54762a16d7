// Package study holds what surrounds the training of a small vision-language model on the world of package shapes:
// lessons (pictures, what can be said about them, and the words to say it), exams about unseen pictures, the table,
// the plots and the report of a run, and the gate that its scores must pass. It is what examples/quickstart trains
// with; a program that trains otherwise is compared on the same exams.
//
// It also holds what programs share that teach a pretrained language model to see: Centre, Shrink, FromFile, Replay,
// Knows and Ask.
//
//	s, err := study.Open(os.Args[1:], os.Stdout, presets, nil)
//	l := s.Lesson()
//	…
//	err = s.Judge(ctx, l, clip, vlm, others, last)
package study
