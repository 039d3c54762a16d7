package chat

// System texts which several templates share.
const (
	curiousHuman = "A chat between a curious human and an artificial intelligence assistant. " +
		"The assistant gives helpful, detailed, and polite answers to the human's questions."
	curiousUser = "A chat between a curious user and an artificial intelligence assistant. " +
		"The assistant gives helpful, detailed, and polite answers to the user's questions."
	// No space after "language.": so it was trained.
	visualUser = "A chat between a curious user and an artificial intelligence assistant. " +
		"The assistant is able to understand the visual content that the user provides, " +
		"and assist the user with a variety of tasks using natural language." + visualFormat
	visualFormat    = "The visual content will be provided with the following format: <Image>visual content</Image>."
	visionAssistant = "You are a helpful language and vision assistant. You are able to understand the visual " +
		"content that the user provides, and assist the user with a variety of tasks using natural language."
	aboutTheVisual = "Answer the questions about the visual content that the user provides."
	safeAssistant  = "You are a helpful, respectful and honest assistant. Always answer as helpfully as possible, " +
		"while being safe.  Your answers should not include any harmful, unethical, racist, sexist, toxic, " +
		"dangerous, or illegal content. Please ensure that your responses are socially unbiased and positive in " +
		"nature.\n\nIf a question does not make any sense, or is not factually coherent, explain why instead of " +
		"answering something not correct. If you don't know the answer to a question, please don't share false " +
		"information."
	helpfulAssistant = "You are a helpful assistant."
)

func single(system string) Template {
	return Template{System: system, Roles: [2]string{"Human", "Assistant"}, Style: Single, Sep: "###",
		Stop: []string{"###"}}
}

func two(system string) Template {
	return Template{System: system, Roles: [2]string{"USER", "ASSISTANT"}, Style: Two, Sep: " ", Sep2: "</s>",
		Stop: []string{"</s>"}}
}

func llama2(system, sep string) Template {
	return Template{System: system, Roles: [2]string{"USER", "ASSISTANT"}, Style: Llama2, Sep: sep, Sep2: "</s>",
		Stop: []string{"</s>"}}
}

func mpt(system string) Template {
	return Template{
		System: "<|im_start|>system\n" + system, Roles: [2]string{"<|im_start|>user\n", "<|im_start|>assistant\n"},
		Style: MPT, Sep: "<|im_end|>", Stop: []string{"<|im_end|>"},
	}
}

func chatML(system string) Template {
	return Template{
		System: "<|im_start|>system\n" + system, Roles: [2]string{"<|im_start|>user", "<|im_start|>assistant"},
		Style: ChatML, Sep: "<|im_end|>", Stop: []string{"<|im_end|>"}, Several: true,
	}
}

func tagged(t Template) Template { t.Tagged = true; return t }

// VicunaV0 is the oldest Vicuna format, with two example turns.
func VicunaV0() Template {
	t := single(curiousHuman)
	t.Examples = []Turn{{From: Human, Value: exampleQuestion}, {From: GPT, Value: exampleAnswer}}
	return named1("v0", t)
}

// VicunaV1 is the format of LLaVA-1.5 and LLaVA-1.6 on Vicuna.
func VicunaV1() Template { return named1("vicuna_v1", two(curiousUser)) }

// LlavaV0 is the format of the first LLaVA.
func LlavaV0() Template { return named1("llava_v0", single(curiousHuman)) }

// LlavaV1 is VicunaV1 with "a curious human".
func LlavaV1() Template { return named1("llava_v1", two(curiousHuman)) }

// V0Tagged is LlavaV0 with <Image> tags around the picture.
func V0Tagged() Template { return named1("v0_mmtag", tagged(single(visualUser))) }

// V1Tagged is VicunaV1 with <Image> tags around the picture.
func V1Tagged() Template { return named1("v1_mmtag", tagged(two(visualUser))) }

// PlainCaption is the format of the first training stage: picture, caption, newline.
func PlainCaption() Template {
	return named1("plain", Template{Style: Plain, Sep: "\n", Sep2: "\n", Stop: []string{"\n"}})
}

// Llama2Chat is Llama-2's chat format with its long system text.
func Llama2Chat() Template { return named1("llama_2", llama2(safeAssistant, "<s>")) }

// LlavaLlama2 is the format of LLaVA on Llama-2.
func LlavaLlama2() Template { return named1("llava_llama_2", llama2(visionAssistant, "<s>")) }

// MistralInstruct is the format of LLaVA-1.6 on Mistral.
func MistralInstruct() Template { return named1("mistral_instruct", llama2("", "")) }

// MPTChat is the format of LLaVA on MPT. Unlike ChatML it has no newline after <|im_end|>.
func MPTChat() Template {
	return named1("mpt", mpt("A conversation between a user and an LLM-based AI assistant. The assistant gives "+
		"helpful and honest answers."))
}

// ChatMLDirect is the format of LLaVA-1.6-34B.
func ChatMLDirect() Template { return named1("chatml_direct", mpt("Answer the questions.")) }

// MistralOrca is the format of Mistral-OpenOrca.
func MistralOrca() Template {
	return named1("mistral_orca", mpt("You are MistralOrca, a large language model trained by Alignment Lab AI. "+
		"Write out your reasoning step-by-step to be sure you get the right answers!"))
}

// MistralZephyr is the format of Zephyr.
func MistralZephyr() Template {
	return named1("mistral_zephyr", Template{
		System: "<|system|>\nYou are a helpful AI assistant.", Roles: [2]string{"<|user|>\n", "<|assistant|>\n"},
		Style: MPT, Sep: "</s>", Stop: []string{"</s>"},
	})
}

// Phi3 is the format of LLaVA++ on Phi-3.
func Phi3() Template {
	return named1("phi3_instruct", Template{
		System: "<|system|>\nYou are a helpful AI assistant.", Roles: [2]string{"\n<|user|>\n", "\n<|assistant|>\n"},
		Style: MPT, Sep: "<|end|>", Stop: []string{"<|end|>"},
	})
}

// Gemma is the format of Gemma's instruction models; it has no system text.
func Gemma() Template {
	return named1("gemma_instruct", Template{
		Roles: [2]string{"<start_of_turn>user\n", "<start_of_turn>model\n"}, Style: MPT, Sep: "<end_of_turn>\n",
		Stop: []string{"<end_of_turn>"},
	})
}

// Qwen is the ChatML of Qwen-1.5 and Qwen-2 in LLaVA-NeXT.
func Qwen() Template { return named1("qwen_1_5", chatML(helpfulAssistant)) }

// Qwen25 is Qwen with the system text of Qwen-2.5.
func Qwen25() Template {
	return named1("qwen_2_5", chatML("You are Qwen, created by Alibaba Cloud. "+helpfulAssistant))
}

// LlavaLlama3 is Llama-3's own format with LLaVA-NeXT's system text.
func LlavaLlama3() Template {
	return named1("llava_llama_3", Template{
		System: visionAssistant, Roles: [2]string{"user", "assistant"}, Style: Llama3, Sep: "<|eot_id|>",
		Stop: []string{"<|eot_id|>"}, HasBOS: true, Several: true,
	})
}

// Llama3Direct is LLaVA++'s format on Llama-3.
func Llama3Direct() Template {
	return named1("llama3", Template{
		System: "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n" + curiousUser,
		Roles: [2]string{"<|start_header_id|>user<|end_header_id|>\n\n",
			"<|start_header_id|>assistant<|end_header_id|>\n\n"},
		Style: MPT, Sep: "<|eot_id|>", Stop: []string{"<|eot_id|>"}, HasBOS: true,
	})
}

// plainChatML, phi3 and zephyr are what models' own files write: without a system text, a line for each mark.
func plainChatML() Template { return withoutSystem(chatML("")) }

func phi3() Template {
	t := withoutSystem(Phi3())
	t.Roles, t.Sep = [2]string{"<|user|>\n", "<|assistant|>\n"}, "<|end|>\n"
	return t
}

func zephyr() Template {
	t := withoutSystem(MistralZephyr())
	t.Sep = "</s>\n"
	return t
}

func withoutSystem(t Template) Template { t.System = ""; return t }

func named1(name string, t Template) Template { t.Name = name; return t }

// named are the names of the reference programs, several for some templates, and after them those of [FromJinja].
var named = []struct {
	name string
	make func() Template
}{
	{"default", VicunaV0},
	{"v0", VicunaV0},
	{"v1", VicunaV1},
	{"vicuna_v1", VicunaV1},
	{"llava_v0", LlavaV0},
	{"llava_v1", LlavaV1},
	{"v0_mmtag", V0Tagged},
	{"llava_v0_mmtag", V0Tagged},
	{"v1_mmtag", V1Tagged},
	{"llava_v1_mmtag", V1Tagged},
	{"plain", PlainCaption},
	{"v0_plain", PlainCaption},
	{"llama_2", Llama2Chat},
	{"llava_llama_2", LlavaLlama2},
	{"llava_llama_2_simple", func() Template { return llama2(aboutTheVisual, "<s>") }},
	{"llava_llama_2_mmtag", func() Template { return tagged(llama2(aboutTheVisual+visualFormat, "<s>")) }},
	{"mistral_instruct", MistralInstruct},
	{"llava_mistral_instruct", MistralInstruct},
	{"mpt", MPTChat},
	{"chatml_direct", ChatMLDirect},
	{"mistral_direct", ChatMLDirect},
	{"mistral_orca", MistralOrca},
	{"mistral_zephyr", MistralZephyr},
	{"gemma_instruct", Gemma},
	{"qwen_1_5", Qwen},
	{"qwen_2", Qwen},
	{"qwen_2_5", Qwen25},
	{"llava_llama_3", LlavaLlama3},
	{"llama3", Llama3Direct},
	{"phi3_instruct", Phi3},
	{"chatml", plainChatML},
	{"phi3", phi3},
	{"zephyr", zephyr},
}

const (
	exampleQuestion = "What are the key differences between renewable and non-renewable energy sources?"
	exampleAnswer   = "Renewable energy sources are those that can be replenished naturally in a relatively short " +
		"amount of time, " +
		"such as solar, wind, hydro, geothermal, and biomass. Non-renewable energy sources, on the other hand, are " +
		"finite " +
		"and will eventually be depleted, such as coal, oil, and natural gas. Here are some key differences between " +
		"renewable and non-renewable energy sources:\n" +
		"1. Availability: Renewable energy sources are virtually inexhaustible, while non-renewable energy " +
		"sources are " +
		"finite and will eventually run out.\n" +
		"2. Environmental impact: Renewable energy sources have a much lower environmental impact than non-renewable " +
		"sources, which can lead to air and water pollution, greenhouse gas emissions, and other negative effects.\n" +
		"3. Cost: Renewable energy sources can be more expensive to initially set up, but they typically have lower " +
		"operational costs than non-renewable sources.\n" +
		"4. Reliability: Renewable energy sources are often more reliable and can be used in more remote " +
		"locations than " +
		"non-renewable sources.\n" +
		"5. Flexibility: Renewable energy sources are often more flexible and can be adapted to different " +
		"situations and " +
		"needs, while non-renewable sources are more rigid and inflexible.\n" +
		"6. Sustainability: Renewable energy sources are more sustainable over the long term, while non-renewable " +
		"sources are not, and their depletion can lead to economic and social instability.\n"
)
