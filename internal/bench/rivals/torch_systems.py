"""Training steps of BLIP-2, InstructBLIP, IDEFICS and GIT on transformers' models, with PyTorch's fused attention where
these have it; of GLIGEN's UNet on diffusers', and of SEEM's mask decoder on transformers' Mask2Former's."""


def load(torch):
    F = torch.nn.functional

    def built(name, config, attention="sdpa"):
        import transformers

        cls = getattr(transformers, name)
        c = cls.config_class.from_dict(config)
        m = cls._from_config(c, attn_implementation=attention)
        return m.train()  # every dropout is 0

    def training(m, loss, *names):
        """A step on the parameters whose name begins with one of names; the others are frozen."""
        for n, p in m.named_parameters():
            p.requires_grad_(n.startswith(names))
        params = [p for p in m.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(params, lr=1e-4, fused=True)

        def run():
            loss().backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        return run

    def pixels(n):
        return torch.rand(n, 3, 112, 112)

    def samples(batch, text, places, place, vocabulary):
        ids = torch.randint(4, vocabulary, (batch, text))
        labels = torch.cat([torch.full((batch, places + text // 2), -100), ids[:, text // 2:]], 1)
        ids = torch.cat([torch.full((batch, places), place), ids], 1)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}

    def stage1(config, batch, text, images):
        """Contrast, matching and captioning. One pass under captioning's mask serves contrast as well."""
        m = built("Blip2ForImageTextRetrieval", config)
        q, (h, v) = config["num_query_tokens"], (config["qformer_config"][k] for k in ("hidden_size", "vocab_size"))
        m.temp = torch.nn.Parameter(torch.tensor(0.07))
        m.transform, m.transform_norm = torch.nn.Linear(h, h), torch.nn.LayerNorm(h)
        m.word_bias = torch.nn.Parameter(torch.zeros(v))
        x, ids = pixels(batch), torch.randint(4, v, (batch, text))
        see = torch.zeros(q + text, q + text)
        see[:q, q:] = -torch.inf
        see[q:, q:] = torch.full((text, text), -torch.inf).triu(1)
        diagonal = torch.eye(batch, dtype=torch.bool)

        def loss():
            with torch.no_grad():
                seen = m.vision_model.encoder(m.vision_model.embeddings(x)).last_hidden_state
            image = m.vision_model.post_layernorm(seen)
            queries = m.query_tokens.expand(batch, -1, -1)
            both = m.qformer.layernorm(m.embeddings(input_ids=ids, query_embeds=queries))
            both = m.qformer.encoder(both, attention_mask=see[None, None], encoder_hidden_states=image, query_length=q)
            both = both.last_hidden_state
            alone = m.qformer(query_embeds=m.embeddings(input_ids=ids), query_length=0).last_hidden_state[:, 0]
            a = F.normalize(m.vision_projection(both[:, :q]), dim=-1)
            b = F.normalize(m.text_projection(alone), dim=-1)
            sim = torch.einsum("iqd,td->itq", a, b).amax(-1) / m.temp
            target = torch.arange(batch)
            itc = sum(F.cross_entropy(s, target, label_smoothing=0.1) for s in (sim, sim.T)) / 2
            off = sim.detach().masked_fill(diagonal, -10000)
            texts, pictures = (torch.multinomial(o.softmax(1), 1)[:, 0] for o in (off, off.T))
            pairs = m.embeddings(input_ids=torch.cat([ids, ids, ids[texts]]),
                                 query_embeds=m.query_tokens.expand(3 * batch, -1, -1))
            images = torch.cat([image, image[pictures], image])
            match = m.qformer(query_embeds=pairs, query_length=q, encoder_hidden_states=images).last_hidden_state
            label = (torch.arange(3 * batch) < batch).long()
            itm = F.cross_entropy(m.itm_head(match[:, :q]).mean(1), label)
            words = m.transform_norm(F.gelu(m.transform(both[:, q:-1])))
            logits = F.linear(words, m.embeddings.word_embeddings.weight, m.word_bias)
            return itc + itm + F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), label_smoothing=0.1)

        return training(m, loss, "query_tokens", "qformer", "embeddings", "vision_projection", "text_projection",
                        "itm_head", "transform", "word_bias", "temp", "vision_model.post_layernorm")

    def blip2(name, instructed):
        def prepare(config, batch, text, images):
            m = built(name, config)
            b = samples(batch, text, config["num_query_tokens"], config["image_token_index"],
                        config["text_config"]["vocab_size"])
            b["pixel_values"] = pixels(batch)
            if instructed:
                words = config["qformer_config"]["vocab_size"]
                b["qformer_input_ids"] = torch.randint(4, words, (batch, text // 2))
                b["qformer_attention_mask"] = torch.ones(batch, text // 2, dtype=torch.long)
            own = ("query_tokens", "qformer", "language_projection", "vision_model.post_layernorm")
            return training(m, lambda: m(**b).loss, *own, *("model." + n for n in own))

        return prepare

    def idefics(config, batch, text, images):
        m = built("IdeficsForVisionText2Text", config)
        b = samples(batch, text, images, config["image_token_id"], config["vocab_size"])
        b["pixel_values"] = pixels(batch * images).view(batch, images, 3, 112, 112)
        b["image_attention_mask"] = torch.zeros(batch, images + text, images, dtype=torch.long)
        for t in range(images + text):
            b["image_attention_mask"][:, t, min(t, images - 1)] = 1
        labels = b.pop("labels")[:, 1:].flatten()

        def loss():  # transformers' own takes config.vocab_size for the number of logits, added words not counted
            return F.cross_entropy(m(**b, use_cache=False).logits[:, :-1].flatten(0, 1), labels)

        return training(m, loss, "model.perceiver_resampler", "model.gated_cross_attn_layers",
                        "model.embed_tokens.additional_embedding", "lm_head.additional_fc")

    def git(config, batch, text, images):
        m = built("GitForCausalLM", config, "eager")  # transformers 5.24 has no other for GIT
        b = samples(batch, text, 0, 0, config["vocab_size"])
        b["pixel_values"] = pixels(batch)
        return training(m, lambda: m(**b, use_cache=False).loss, "")

    def unet(*names):
        def prepare(config, batch):
            from diffusers import UNet2DConditionModel

            m, width, side = UNet2DConditionModel(**config), config["cross_attention_dim"], config["sample_size"]
            x, noise, text = (torch.rand(batch, *s) for s in ((4, side, side), (4, side, side), (77, width)))
            kw, t = {}, torch.zeros(batch, dtype=torch.long)
            if config["attention_type"] == "gated":
                boxes = {"boxes": torch.full((batch, 8, 4), 0.5), "masks": torch.ones(batch, 8),
                         "positive_embeddings": torch.rand(batch, 8, width)}
                for module in m.modules():
                    if module.__class__.__name__ == "GatedSelfAttentionDense":
                        module.enabled = True
                kw = {"cross_attention_kwargs": {"gligen": boxes}}
            chosen = [n for n, _ in m.named_parameters() if any(part in "." + n for part in names)]
            return training(m, lambda: F.mse_loss(m(x, t, text, **kw).sample, noise), *chosen)

        return prepare

    def mask_decoder(batch, width, heads, queries, layers, side):
        from transformers import Mask2FormerConfig
        from transformers.models.mask2former.modeling_mask2former import Mask2FormerTransformerModule

        m = Mask2FormerTransformerModule(width, Mask2FormerConfig(
            feature_size=width, mask_feature_size=width, hidden_dim=width, num_attention_heads=heads, dropout=0.0,
            dim_feedforward=4 * width, decoder_layers=layers + 1, num_queries=queries))
        m.class_embed = torch.nn.Linear(width, width, bias=False)
        levels, masks = [torch.rand(batch, width, s, s) for s in (side // 8, side // 4, side // 2)], torch.rand(
            batch, width, side, side)

        def loss():
            o = m(levels, masks)
            return sum(p.square().mean() for p in o.masks_queries_logits) + sum(
                m.class_embed(x).square().mean() for x in o.intermediate_hidden_states)

        return training(m, loss, "")

    return {"system_unet": unet("."), "system_unet-gated": unet(".fuser.", ".position_net."),
            "system_mask-decoder": mask_decoder, "system_blip2-stage1": stage1,
            "system_blip2-opt": blip2("Blip2ForConditionalGeneration", False),
            "system_instructblip-llama": blip2("InstructBlipForConditionalGeneration", True),
            "system_idefics": idefics, "system_git": git}
