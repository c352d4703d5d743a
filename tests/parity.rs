//! The models against PyTorch: logits, gradients and, of the ViT, ten AdamW losses of the committed fixtures.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use autograd::{CrossEntropy, cross_entropy};
use models::weights::{Heads, Weights};
use models::{DetrConfig, ImageGptConfig, Vit, VitConfig};
use nn::checkpoint::TensorFile;
use nn::{AdamW, AdamWConfig, Context, Init, Params, resample_table};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tensor::Tensor;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// max |a|.
fn largest(t: &Tensor<f64>) -> f64 {
    t.to_vec().iter().fold(0.0f64, |max, x| max.max(x.abs()))
}

/// max |a − b|.
fn difference(found: &Tensor<f64>, expected: &Tensor<f64>) -> f64 {
    assert_eq!(found.shape(), expected.shape());
    largest(&(found - expected))
}

#[derive(serde::Deserialize)]
struct Config<M> {
    model: M,
}

/// The model of a fixture.
fn model<M: DeserializeOwned>(name: &str) -> M {
    let text = fs::read_to_string(fixture(&format!("{name}.toml"))).expect("committed");
    // The program's tag of the model is no key of its config.
    let text: String = text
        .lines()
        .filter(|line| !line.starts_with("kind"))
        .fold(String::new(), |text, line| text + line + "\n");
    toml::from_str::<Config<M>>(&text).expect("a model").model
}

/// Model, parameters, images and labels of a fixture, in double precision.
fn load(name: &str) -> (Vit, Params<f64>, Tensor<f64>, Vec<usize>) {
    let mut params = Params::new();
    let model = Vit::new(&mut Init::new(&mut params, 0), &model(name)).expect("valid");
    let mut params = params.cast::<f64>();
    let file = |part: &str| {
        TensorFile::read(&fixture(&format!("{name}.{part}.safetensors"))).expect("committed")
    };
    file("weights").load("", &mut params).expect("timm's names and shapes");
    let input = file("input");
    let (images, (_, labels)) =
        (input.tensor("images").expect("images"), input.indices("labels").expect("labels"));
    (model, params, images, labels)
}

/// The weights of a fixture in a folder of their own, and beside them its `config.json`, if it has one, changed.
fn beside(folder: &Path, name: &str, change: impl Fn(Value) -> Value) -> PathBuf {
    fs::create_dir_all(folder).expect("a folder");
    let weights = folder.join("model.safetensors");
    fs::copy(fixture(&format!("{name}.weights.safetensors")), &weights).expect("copied");
    if let Ok(text) = fs::read_to_string(fixture(&format!("{name}.config.json"))) {
        let config = change(serde_json::from_str(&text).expect("JSON"));
        fs::write(folder.join("config.json"), config.to_string()).expect("written");
    }
    weights
}

#[test]
fn the_program_agrees_with_pytorch_in_logits_loss_and_every_gradient() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in [
        "vit",
        "vit-mean",
        "vit-max",
        "vit-clip",
        "vit-hugging-face",
        "image-gpt",
        "image-gpt-scaled",
        "detr",
        "detr-dilated",
    ] {
        let output = folder.path().join("out.safetensors");
        let path = |part: &str| fixture(&format!("{name}.{part}"));
        let weights = beside(&folder.path().join(name), name, |config| config);
        let status = Command::new(env!("CARGO_BIN_EXE_wavetape"))
            .arg("parity")
            .args(["--config".as_ref(), path("toml").as_os_str()])
            .args(["--weights".as_ref(), weights.as_os_str()])
            .args(["--input".as_ref(), path("input.safetensors").as_os_str()])
            .args(["--output".as_ref(), output.as_os_str()])
            .arg("--grads")
            .status()
            .expect("started");
        assert!(status.success());
        let expected = TensorFile::read(&path("expected.safetensors")).expect("committed");
        let found = TensorFile::read(&output).expect("written");
        let mut names = expected.names();
        names.retain(|name| name != "adamw_losses");
        assert_eq!(found.names(), names);
        let largest_of = |name: &String| largest(&expected.tensor::<f64>(name).expect("listed"));
        let mut sizes: Vec<f64> =
            names.iter().filter(|name| name.starts_with("grad.")).map(largest_of).collect();
        sizes.sort_by(f64::total_cmp);
        let median = sizes[sizes.len() / 2];
        for tensor in names {
            let bound = 1e-5; // single precision against double: PyTorch's own f32 differs by up to 7e-7
            let [found, expected]: [Tensor<f64>; 2] =
                [&found, &expected].map(|file| file.tensor(&tensor).expect("listed"));
            // Softmax does not see what keys have in common: of the gradients of DETR's projections to keys and queries, next to
            // nothing is left but rounding of the others, so they are compared on the scale of these: their median. So it is
            // with any bias of keys.
            let is_projection = name.starts_with("detr") || tensor.ends_with("k_proj.bias");
            let least = if is_projection && tensor.starts_with("grad.") { median } else { 0.0 };
            let error = difference(&found, &expected) / largest(&expected).max(least);
            assert!(error < bound, "{name}: {tensor} differs by {error:e}");
        }
    }
}

#[test]
fn ten_steps_of_adamw_cost_what_they_cost_in_pytorch() {
    for name in ["vit", "vit-mean"] {
        let (model, mut params, images, labels) = load(name);
        let expected =
            TensorFile::read(&fixture(&format!("{name}.expected.safetensors"))).expect("committed");
        let expected: Tensor<f64> = expected.tensor("adamw_losses").expect("losses");
        let mut optimizer =
            AdamW::new(&params, AdamWConfig { weight_decay: 0.05, ..AdamWConfig::default() });
        for expected in expected.to_vec() {
            let cx = Context::differentiate(&params);
            let loss =
                cross_entropy(&model.forward(&cx, &images), &labels, &CrossEntropy::default());
            let (found, grads) = (loss.value().item(), cx.backward(&loss));
            // Decaying one parameter too many shows from 5e-6 on.
            assert!((found / expected - 1.0).abs() < 1e-6, "{name}: {found} instead of {expected}");
            optimizer.step(&mut params, &grads, 1e-3, 1.0);
        }
    }
}

/// Why the weights of a fixture are refused beside a `config.json` that is changed in one value, if they are.
fn refusal(name: &str, key: &str, value: Value) -> Option<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = beside(folder.path(), name, |mut config| {
        let place = key.split('.').fold(&mut config, |value, part| &mut value[part]);
        *place = value.clone();
        config
    });
    let refused = match name.split('-').next() {
        Some("vit") => Weights::of_vit(&path, &model::<VitConfig>(name), Heads::Same).err(),
        Some("detr") => Weights::of_detr(&path, &model::<DetrConfig>(name), Heads::Same).err(),
        _ => Weights::of_image_gpt(&path, &model::<ImageGptConfig>(name), Heads::Same).err(),
    };
    refused.map(|error| error.to_string())
}

#[test]
fn a_model_that_is_not_the_one_of_the_config_beside_its_weights_is_refused() {
    let says = |name: &str, key: &str, value: Value, part: &str| {
        let message = refusal(name, key, value).unwrap_or_else(|| panic!("{key} is taken"));
        assert!(message.contains("config.json: ") && message.contains(part), "{message}");
    };
    let hf = "vit-hugging-face";
    says(
        hf,
        "layer_norm_eps",
        json!(1e-12),
        "layer_norm_eps: eps = 1e-12 expected of the model, which has 0.01",
    );
    says(hf, "hidden_act", json!("gelu_new"), "activation = \"gelu-tanh\" expected of the model");
    says(hf, "hidden_act", json!("silu"), "hidden_act = \"silu\": only gelu");
    says(hf, "num_attention_heads", json!(2), "heads = 2 expected of the model, which has 3");
    says(hf, "qkv_bias", json!(false), "qkv_bias = false expected");
    says(hf, "model_type", json!("dinov2"), "model_type = \"dinov2\": \"vit\" expected");
    says(hf, "patch_size", json!([4, 2]), "only squares are supported");
    says(hf, "id2label", json!({"0": "x"}), "classes = 1 expected");

    let timm = "vit-max";
    for (key, value, part) in [
        ("qk_norm", json!(true), "a norm of queries and keys is not supported"),
        ("init_values", json!(1e-5), "layer scale is not supported"),
        ("reg_tokens", json!(4), "a register token is not supported"),
        ("no_embed_class", json!(true), "a class token without a position is not supported"),
        ("global_pool", json!("avg"), "pool = \"mean\" expected of the model, which has \"max\""),
        ("global_pool", json!("map"), "only token, avg and max are supported"),
        ("fc_norm", json!(false), "fc_norm = false expected"),
        ("act_layer", json!("silu"), "act_layer = \"silu\": only gelu"),
        ("norm_layer", json!("rmsnorm"), "another norm is not supported"),
        ("mlp_ratio", json!(4), "mlp_dim = 48 expected"),
    ] {
        says(timm, &format!("model_args.{key}"), value, part);
    }
    for architecture in
        ["deit_tiny_distilled_patch16_224", "vit_base_patch14_dinov2", "beit_base_patch16_224"]
    {
        says(
            timm,
            "architecture",
            json!(architecture),
            "only plain vision transformers are supported",
        );
    }
    says(timm, "architecture", json!("vit_base_patch16_clip_224"), "pre_norm = true expected");
    says(
        "vit-clip",
        "architecture",
        json!("vit_base_patch16_clip_224"),
        "activation = \"gelu\" expected",
    );

    for (key, value, part) in [
        ("activation_function", json!("gelu"), "another activation is not supported"),
        ("position_embedding_type", json!("learned"), "another encoding is not supported"),
        ("dilation", json!(true), "backbone.dilated = true expected of the model, which has false"),
        ("decoder_attention_heads", json!(4), "heads = 4 expected"),
        ("decoder_ffn_dim", json!(32), "mlp_dim = 32 expected"),
        ("backbone_config.backbone", json!("resnet18"), "backbone.kind = \"resnet-18\" expected"),
        (
            "backbone_config.backbone",
            json!("resnet101"),
            "only resnet18 and resnet50 are supported",
        ),
        ("num_queries", json!(7), "queries = 7 expected"),
    ] {
        says("detr", key, value, part);
    }

    let gpt = "image-gpt-scaled";
    says(gpt, "layer_norm_epsilon", json!(1e-5), "layer_norm_epsilon: eps = 0.00001 expected");
    says(gpt, "n_head", json!(4), "heads = 4 expected");
    says(gpt, "add_cross_attention", json!(true), "cross-attention is not supported");
    says(gpt, "scale_attn_weights", json!(1), "true or false expected");
    assert_eq!(refusal(gpt, "reorder_and_upcast_attn", json!(true)), None);
}

#[test]
fn older_names_of_hugging_face_are_read_and_tensors_without_a_place_are_refused_with_a_reason() {
    let name = "vit-hugging-face";
    let folder = tempfile::tempdir().expect("a folder");
    let config = model::<VitConfig>(name);
    let read = |rename: fn(&str) -> String, more: Option<&str>| {
        let file =
            TensorFile::read(&fixture(&format!("{name}.weights.safetensors"))).expect("committed");
        let tensor = |of: String| (rename(&of), file.tensor(&of).expect("listed"));
        let mut tensors: Vec<(String, Tensor)> = file.names().into_iter().map(tensor).collect();
        tensors.extend(more.map(|more| (more.to_owned(), Tensor::zeros([1]))));
        let path = folder.path().join("weights.safetensors");
        nn::checkpoint::write(&path, tensors, Default::default()).expect("written");
        let mut params: Params = Params::new();
        Vit::new(&mut Init::new(&mut params, 0), &config).expect("valid");
        let told =
            Weights::of_vit(&path, &config, Heads::Same).expect("readable").load(&mut params);
        told.map(|told| (told, params)).map_err(|error| error.to_string())
    };
    let (told, today) = read(str::to_owned, None).expect("today's names");
    assert!(told.is_empty(), "{told:?}");
    let older = |name: &str| {
        let pairs = [
            (".q_proj.", ".attention.query."),
            (".k_proj.", ".attention.key."),
            (".v_proj.", ".attention.value."),
            (".o_proj.", ".output.dense."),
            (".mlp.fc1.", ".intermediate.dense."),
            (".mlp.fc2.", ".output.dense."),
            ("vit.layers.", "vit.encoder.layer."),
        ];
        pairs.iter().fold(name.to_owned(), |name, (new, old)| name.replace(new, old))
    };
    let (_, before) = read(older, Some("vit.pooler.dense.bias")).expect("older names");
    assert!(today.iter().zip(before.iter()).all(|(a, b)| a.value == b.value));
    let bare = |name: &str| name.replace("vit.", "").replace("classifier.", "pooler.");
    let reason = read(bare, None).expect_err("a model without a head");
    let expected = "the names of a ViTForImageClassification begin with `vit.`";
    assert!(reason.contains(&format!("tensor `embeddings.cls_token`: {expected}")), "{reason}");
    let reason = read(str::to_owned, Some("vit.embeddings.mask_token")).expect_err("a mask token");
    assert!(
        reason.contains("tensor `vit.embeddings.mask_token`: mask tokens are not supported"),
        "{reason}"
    );
}

#[test]
fn tables_of_positions_are_resampled_as_timm_does_when_weights_are_read() {
    let file = TensorFile::read(&fixture("pos-embed.safetensors")).expect("committed");
    let table: Tensor<f64> = file.tensor("table").expect("listed");
    let places = table.narrow(1, 1, 16).reshape([16, 3]);
    for side in [2, 3, 5, 9] {
        let expected: Tensor<f64> = file.tensor(&format!("to.{side}")).expect("listed");
        let found = resample_table(&places, [4; 2], [side; 2]);
        let expected = expected.narrow(1, 1, side * side).reshape([side * side, 3]);
        let error = difference(&found, &expected);
        assert!(error < 1e-6, "to {side} × {side}: {error:e}");
    }
    assert_eq!(difference(&resample_table(&places, [4; 2], [4; 2]), &places), 0.0);

    let weights = fixture("vit.weights.safetensors");
    let config = VitConfig { image_size: 20, ..model("vit") };
    let mut params: Params = Params::new();
    Vit::new(&mut Init::new(&mut params, 0), &config).expect("valid");
    let read = Weights::of_vit(&weights, &config, Heads::Same).expect("readable");
    let told = read.load(&mut params).expect("resampled");
    let expected = "`pos_embed`: resampled from 3 × 3 to 5 × 5 patches (bicubic, antialiased)";
    assert_eq!(told, [expected]);
    let given: Tensor =
        TensorFile::read(&weights).expect("committed").tensor("pos_embed").expect("listed");
    let found = &params.by_name("pos_embed").expect("a table").value;
    assert_eq!(found.narrow(1, 0, 1).to_vec(), given.narrow(1, 0, 1).to_vec());
    let places = resample_table(&given.narrow(1, 1, 9).reshape([9, 24]), [3; 2], [5; 2]);
    assert_eq!(found.narrow(1, 1, 25).to_vec(), places.to_vec());
}

#[test]
fn a_model_that_is_written_wrongly_is_refused_in_words_that_name_the_file_and_the_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.toml");
    let good = fs::read_to_string(fixture("vit.toml")).expect("committed");
    for (from, to, expected) in [
        (
            "dim = 24",
            "dim = \"wide\"",
            "model.dim must be a whole number from 1 to 65536, found \"wide\"",
        ),
        ("depth = 2", "depth = -1", "model.depth must be at least 1, found -1"),
        ("depth = 2", "dept = 2", "no such key `model.dept`; did you mean `model.depth`?"),
        ("heads = 3\n", "", "model.heads is missing: it must be a whole number"),
        ("\"vit\"", "\"captioner\"", "a vit, image-gpt or detr expected, not a captioner"),
        ("[model]", "[models]", "a table `model` expected"),
    ] {
        let text = match to.contains("captioner") {
            true => "[model]\nkind = \"captioner\"\n".to_owned(),
            false => good.replacen(from, to, 1),
        };
        fs::write(&path, text).expect("written");
        let output = Command::new(env!("CARGO_BIN_EXE_wavetape"))
            .arg("parity")
            .args(["--config".as_ref(), path.as_os_str()])
            .args(["--weights".as_ref(), fixture("vit.weights.safetensors").as_os_str()])
            .args(["--input".as_ref(), fixture("vit.input.safetensors").as_os_str()])
            .args(["--output".as_ref(), folder.path().join("out.safetensors").as_os_str()])
            .output()
            .expect("started");
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.contains("model.toml") && message.contains(expected), "{message}");
        let is_of_rust = ["usize", "u64", "expected value", "line 1 column 1"];
        assert!(!is_of_rust.iter().any(|word| message.contains(word)), "{message}");
    }
}
