"""Loops of training, optimizers, metrics, image functions and attribution."""

import numpy as np
import torch


def small(seed=0, width=6):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(4, width), torch.nn.Tanh(), torch.nn.Linear(width, 3))


def optimizer(name):
    def run(folder):
        import pytorch_optimizer as po

        net = small()
        x, y = torch.randn(8, 4), torch.randint(0, 3, (8,))
        options = {"num_iterations": 10} if name == "Ranger21" else {}
        opt = getattr(po, name)(net.parameters(), **options)
        if hasattr(opt, "train"):
            opt.train()
        found = {}
        for step in range(4):
            opt.zero_grad()
            loss = torch.nn.functional.cross_entropy(net(x), y)
            loss.backward(create_graph=name == "SophiaH")
            opt.step()
            found[f"loss {step}"] = loss.detach()
        return found | net.state_dict()

    return run


def accelerated(folder):
    from accelerate import Accelerator
    from accelerate.utils import set_seed

    set_seed(0)
    a = Accelerator(cpu=True, gradient_accumulation_steps=2)
    net = small()
    opt = torch.optim.AdamW(net.parameters(), 1e-2)
    data = torch.utils.data.TensorDataset(torch.randn(16, 4), torch.randint(0, 3, (16,)))
    loader = torch.utils.data.DataLoader(data, 4, shuffle=True)
    scheduler = torch.optim.lr_scheduler.LinearLR(opt, total_iters=4)
    net, opt, loader, scheduler = a.prepare(net, opt, loader, scheduler)
    found = {}
    for i, (x, y) in enumerate(loader):
        with a.accumulate(net):
            loss = torch.nn.functional.cross_entropy(net(x), y)
            a.backward(loss)
            if a.sync_gradients:
                a.clip_grad_norm_(net.parameters(), 1.0)
            opt.step()
            scheduler.step()
            opt.zero_grad()
        found[f"loss {i}"] = a.gather(loss.detach())
    a.save_state(folder / "state")
    a.load_state(folder / "state")
    return found | a.unwrap_model(net).state_dict()


def ignited(folder):
    from ignite.engine import Events, create_supervised_evaluator, create_supervised_trainer
    from ignite.metrics import Accuracy, Loss

    net = small()
    data = torch.utils.data.TensorDataset(torch.randn(16, 4), torch.randint(0, 3, (16,)))
    loader = torch.utils.data.DataLoader(data, 4, shuffle=True)
    criterion = torch.nn.CrossEntropyLoss()
    trainer = create_supervised_trainer(net, torch.optim.SGD(net.parameters(), 0.1, momentum=0.9), criterion)
    evaluator = create_supervised_evaluator(net, metrics={"accuracy": Accuracy(), "loss": Loss(criterion)})
    found = {}

    @trainer.on(Events.EPOCH_COMPLETED)
    def _(engine):
        evaluator.run(loader)
        found.update({f"{k} {engine.state.epoch}": torch.tensor(v) for k, v in evaluator.state.metrics.items()})

    trainer.run(loader, max_epochs=2)
    return found | net.state_dict()


def skorched(folder):
    from skorch import NeuralNetClassifier

    torch.manual_seed(0)
    x, y = torch.randn(24, 4).numpy(), torch.randint(0, 3, (24,)).numpy()
    net = NeuralNetClassifier(
        small(), criterion=torch.nn.CrossEntropyLoss, max_epochs=3, lr=0.1, batch_size=8, train_split=None, verbose=0
    )
    net.fit(x, y)
    net.save_params(f_params=folder / "p.pt")
    return {"losses": np.array(net.history[:, "train_loss"]), "probabilities": net.predict_proba(x)} | net.module_.state_dict()


def metrics(folder):
    import torchmetrics as tm
    from torchmetrics import functional as F
    from torchmetrics.image import PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure

    torch.manual_seed(0)
    scores, y = torch.randn(20, 4).softmax(-1), torch.randint(0, 4, (20,))
    found = {}
    collection = tm.MetricCollection(
        [
            tm.Accuracy("multiclass", num_classes=4),
            tm.F1Score("multiclass", num_classes=4, average="macro"),
            tm.AUROC("multiclass", num_classes=4),
            tm.ConfusionMatrix("multiclass", num_classes=4),
            tm.CalibrationError("multiclass", num_classes=4),
            tm.AveragePrecision("multiclass", num_classes=4),
        ]
    )
    for part in range(2):
        collection.update(scores[10 * part : 10 * part + 10], y[10 * part : 10 * part + 10])
    found |= collection.compute()
    a, b = torch.rand(2, 3, 24, 24, requires_grad=True), torch.rand(2, 3, 24, 24)
    ssim = StructuralSimilarityIndexMeasure(data_range=1.0)(a, b)
    ssim.backward()
    found |= {"ssim": ssim, "gradient a": a.grad, "psnr": PeakSignalNoiseRatio(data_range=1.0)(a, b)}
    p, q = torch.randn(30), torch.randn(30)
    for name in (
        "pearson_corrcoef",
        "spearman_corrcoef",
        "r2_score",
        "mean_squared_error",
        "explained_variance",
        "kendall_rank_corrcoef",
    ):
        found[name] = getattr(F, name)(p, q)
    found["perplexity"] = F.text.perplexity(torch.randn(2, 5, 7), torch.randint(0, 7, (2, 5)))
    found["wer"] = F.text.word_error_rate(["a b c"], ["a d c"])
    found["retrieval"] = tm.retrieval.RetrievalMAP()(p, q > 0, indexes=torch.arange(30) // 10)
    found["pairwise"] = F.pairwise_cosine_similarity(scores, scores)
    return found


def kornia_functions(folder):
    import kornia as K

    torch.manual_seed(0)
    x = torch.rand(2, 3, 16, 20, requires_grad=True)
    h = torch.eye(3)[None].repeat(2, 1, 1) + 0.02 * torch.randn(2, 3, 3) * torch.tensor([[1, 1, 20], [1, 1, 20], [0.1, 0.1, 0]])
    found = {
        "blur": K.filters.gaussian_blur2d(x, (5, 5), (1.5, 1.5)),
        "sobel": K.filters.sobel(x),
        "median": K.filters.median_blur(x, (3, 3)),
        "canny": K.filters.canny(x)[0],
        "laplacian": K.filters.laplacian(x, 5),
        "hsv": K.color.rgb_to_hsv(x),
        "lab": K.color.rgb_to_lab(x),
        "grey": K.color.rgb_to_grayscale(x),
        "warp": K.geometry.warp_perspective(x, h, (16, 20)),
        "rotate": K.geometry.rotate(x, torch.tensor([20.0, -30.0])),
        "crop": K.geometry.center_crop(x, (8, 10)),
        "pyramid": K.geometry.pyrdown(x),
        "harris": K.feature.harris_response(x),
        "dilation": K.morphology.dilation(x, torch.ones(3, 3)),
        "ssim": K.metrics.ssim(x, x.flip(0), 5),
        "equalize": K.enhance.equalize(x.detach()),
        "clahe": K.enhance.equalize_clahe(x[..., :16].detach(), 4.0, (2, 2)),
        "bilateral": K.filters.bilateral_blur(x, (3, 3), 0.1, (1.5, 1.5)),
        "axis": K.geometry.axis_angle_to_rotation_matrix(torch.randn(2, 3)),
        "total": K.losses.total_variation(x),
        "focal": K.losses.focal_loss(torch.randn(2, 3, 4), torch.randint(0, 3, (2, 4)), 0.5, reduction="mean"),
    }
    sum(v.sum() for v in found.values() if v.requires_grad).backward()
    return found | {"gradient x": x.grad}


def kornia_augmentation(folder):
    import kornia.augmentation as A

    torch.manual_seed(0)
    x = torch.rand(3, 3, 16, 16)
    steps = A.AugmentationSequential(
        A.RandomHorizontalFlip(p=0.5),
        A.RandomAffine(15.0, (0.1, 0.1), p=1.0),
        A.ColorJitter(0.2, 0.2, 0.2, 0.1, p=1.0),
        A.RandomErasing(p=1.0),
        A.RandomGaussianNoise(p=1.0),
        A.RandomResizedCrop((12, 12), p=1.0),
        data_keys=["input"],
    )
    torch.manual_seed(1)
    return {"out": steps(x), "matrix": steps.transform_matrix}


def schedulers(folder):
    import diffusers as d

    found = {}
    for name in (
        "DDPMScheduler",
        "DDIMScheduler",
        "EulerDiscreteScheduler",
        "DPMSolverMultistepScheduler",
        "UniPCMultistepScheduler",
        "LMSDiscreteScheduler",
        "HeunDiscreteScheduler",
        "FlowMatchEulerDiscreteScheduler",
        "EulerAncestralDiscreteScheduler",
    ):
        torch.manual_seed(0)
        s = getattr(d, name)()
        s.set_timesteps(4)
        x = torch.randn(2, 2, 4, 4)
        for t in s.timesteps:
            y = s.scale_model_input(x, t) if hasattr(s, "scale_model_input") else x
            x = s.step(y.sin() * 0.3, t, x).prev_sample
        found[name] = x
    return found


def attribution(folder):
    from captum.attr import (
        DeepLift,
        FeatureAblation,
        GradientShap,
        IntegratedGradients,
        LayerConductance,
        LayerGradCam,
        Occlusion,
        Saliency,
    )

    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(48, 3)).eval()
    x, base = torch.randn(2, 1, 6, 6), torch.zeros(2, 1, 6, 6)
    found = {
        "ig": IntegratedGradients(net).attribute(x, base, target=1, n_steps=5),
        "saliency": Saliency(net).attribute(x, target=1),
        "deeplift": DeepLift(net).attribute(x, base, target=1),
        "cam": LayerGradCam(net, net[0]).attribute(x, target=1),
        "conductance": LayerConductance(net, net[1]).attribute(x, base, target=1, n_steps=4),
        "ablation": FeatureAblation(net).attribute(x, base, target=1),
        "occlusion": Occlusion(net).attribute(x, (1, 3, 3), (1, 3, 3), target=1),
    }
    torch.manual_seed(1)
    np.random.seed(1)
    found["shap"] = GradientShap(net).attribute(x, baselines=base, target=1, n_samples=3)
    return found


def sentences(folder):
    from sentence_transformers import util

    torch.manual_seed(0)
    a, b = torch.randn(4, 6, requires_grad=True), torch.randn(4, 6)
    found = {"cos": util.cos_sim(a, b), "dot": util.dot_score(a, b), "pair": util.pairwise_cos_sim(a, b)}
    found["search"] = torch.tensor([[h["corpus_id"] for h in hits] for hits in util.semantic_search(a.detach(), b, top_k=3)])
    found["paraphrase"] = torch.tensor([s for s, *_ in util.paraphrase_mining_embeddings(b)])
    return found


OPTIMIZERS = "Shampoo Lion AdaBelief Lamb Adan Prodigy ScheduleFreeAdamW SophiaH Kron Ranger21 CAME"
ROWS = {f"pytorch_optimizer {name}": optimizer(name) for name in OPTIMIZERS.split()}
ROWS |= {
    "accelerate training": accelerated, "ignite training": ignited, "skorch training": skorched, "torchmetrics metrics": metrics,
    "kornia functions": kornia_functions, "kornia augmentation": kornia_augmentation, "diffusers schedulers": schedulers,
    "captum attribution": attribution, "sentence_transformers functions": sentences,
}  # fmt: skip
