package verify

import (
	"github.com/gollava/gollava/connector/seem"
	"github.com/gollava/gollava/vit"
	"github.com/gollava/gollava/vit/imagebind"
	"github.com/gollava/gollava/vit/unet"
)

// tasks is the table of what can be checked: the task of a case.json, what reads the case (its case.json as a whole, or
// a model from each of its checkpoints) and what compares.
var tasks = map[string]task{
	// text
	"tokenizer": whole(tokenizers),
	"prompt":    whole(prompts),
	"dataset":   whole(dataset),

	// images and sound
	"pixels":       whole(pixels),
	"anyres":       whole(anyRes),
	"token_counts": whole(tokenCounts),
	"melspec":      whole(melSpec),

	// files and formats
	"pickle":         whole(pickle),
	"bnb_blocks":     whole(bnbBlocks),
	"bnb_int8":       whole(bnbInt8),
	"packed_blocks":  whole(packedBlocks),
	"gguf_blocks":    whole(ggufBlocks),
	"gguf_container": whole(ggufContainer),
	"gguf_hostile":   whole(ggufHostile),

	// language models and adapters
	"causal_lm":      whole(causalLM),
	"gguf_causal_lm": whole(ggufCausalLM),
	"peft":           each(openSubject, adapted),

	// encoders
	"clip":          each(as32(vit.LoadCLIP), clip),
	"clip_vision":   each(tower[*vit.CLIPVision], clipVision),
	"siglip_vision": each(tower[*vit.SigLIPVision], siglipVision),
	"dinov2_vision": each(tower[*vit.DINOv2], dinov2Vision),
	"blip2_vision":  each(tower[*vit.EVAVision], evaVision),
	"s2_features":   each(tower[vit.Tower], s2Features),
	"imagebind":     each(as32(imagebind.Load), imageBind),

	// vision-language models
	"llava":            each(loadLLaVA, llavaModel),
	"llava_next":       each(loadLLaVA, llavaModel),
	"llava_original":   each(loadLLaVA, llavaOriginal),
	"gguf_llava":       each(loadLLaVA, llavaGGUF),
	"llava_next_video": each(loadLLaVA, media),
	"llava_onevision":  each(loadLLaVA, media),
	"vipllava":         each(loadLLaVA, media),
	"video_llava":      each(loadLLaVA, media),
	"video_pooling":    whole(videoPooling),
	"blip2":            each(loadBLIP2, blip2Model),
	"instructblip":     each(loadBLIP2, blip2Model),
	"blip2_qformer":    each(loadQFormer, qformer),
	"blip2_retrieval":  each(loadRetrieval, retrieval),
	"blip2_stage1":     each(readStage1, stage1),
	"flamingo":         each(loadInterleaved, flamingoModel),
	"idefics":          each(loadInterleaved, flamingoModel),
	"git":              each(loadGIT, gitModel),

	// segmentation and drawing
	"seem":                each(as32(seem.Load), seemModel),
	"seem_losses":         whole(seemLosses),
	"diffusion_schedules": whole(schedules),
	"ldm_vae":             each(as32(unet.LoadVAE), autoencoder),
	"gligen_unet":         each(loadUNet, gatedUNet),
	"gligen_pipeline":     whole(pipeline),

	// training
	"adamw":        whole(adamW),
	"schedule":     whole(schedule),
	"accumulation": whole(accumulation),
	"llava_stages": whole(stages),

	// data and benchmarks
	"benchmark": whole(benchmark),
	"datagen":   whole(datagen),
}
