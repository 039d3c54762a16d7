package chat_test

import (
	"fmt"

	"github.com/gollava/gollava/data/chat"
	"github.com/gollava/gollava/data/tokenizer"
)

func Example() {
	t := chat.LlavaLlama2()
	t.System = "Be brief."
	spans, err := t.Sample([]chat.Turn{
		{From: chat.Human, Value: "<image>\nHow many dogs?"},
		{From: chat.GPT, Value: "Two."},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range spans {
		fmt.Printf("%-5t %q\n", s.Supervised, s.Text)
	}
	// Output:
	// false "[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\n"
	// false "<image>\nHow many dogs?"
	// false " [/INST]"
	// true  " "
	// true  "Two."
	// true  " </s>"
}

func ExampleTemplate_Render() {
	prompt, err := chat.VicunaV1().Render([]chat.Turn{
		{From: chat.Human, Value: chat.Question("What is this?", false)},
		{From: chat.GPT, Open: true},
	})
	fmt.Printf("%.13s … %s %v\n", prompt, prompt[len(prompt)-40:], err)
	// Output:
	// A chat betwee … . USER: <image>
	// What is this? ASSISTANT: <nil>
}

func ExampleTemplate_Train() {
	tok, err := tokenizer.Load("../tokenizer/testdata/cases/llama")
	if err != nil {
		panic(err)
	}
	t := chat.VicunaV1()
	t.System = "Answer."
	x, err := t.Train(tok, []chat.Turn{
		{From: chat.Human, Value: "<image>\nWhat is it?"},
		{From: chat.GPT, Value: "A cat."},
	}, chat.Options{Pictures: true})
	for i, id := range x.IDs {
		switch {
		case id == chat.ImageIndex:
			fmt.Print("[picture] ")
		case x.Labels[i] == id:
			fmt.Printf("*%s* ", tok.Token(id))
		default:
			fmt.Printf("%s ", tok.Token(id))
		}
	}
	fmt.Println(err)
	// Output: <s> ▁A n s w er . ▁ <0x55> S E R : ▁ [picture] ▁ <0x0A> W h at ▁is ▁i t ? ▁A S S I S T A N T : *▁A* *▁cat* *.* *</s>* <nil>
}
