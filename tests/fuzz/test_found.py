"""Small programs that once differed: on both libraries everything is the same now, without a rule."""

from __future__ import annotations

import re

import pytest

from .fuzzing import attempt

X = "t0 = torch.tensor([[1., -2., 3.], [0.5, 2., -1.]], dtype=torch.float64).requires_grad_()\n"
V = "t0 = torch.tensor([1., -2., 3.], dtype=torch.float64).requires_grad_()\n"

PROGRAMS = {
    "operands of two types in a product": V + "t1 = torch.cross(t0, torch.ones(3), dim=0)",
    "operands of two types in linalg": V + "t1 = torch.linalg.vecdot(t0, torch.ones(3))",
    "a distance of booleans": V + "t1 = torch.dist(t0 > 0, t0)",
    "a number, repeated along a dimension": "t0 = torch.tensor(1.)\nt1 = t0.repeat_interleave(2, 0)",
    "a sum of products of two types, of one element": V + "t1 = torch.einsum('i,i->', t0[:1], torch.ones(1))\nt1.backward()",
    "an empty sum of products of two types": V + "t1 = torch.einsum('bi,bi->b', torch.ones(0, 3).double(), torch.ones(0, 3))",
    "a sum of products of two types": V + "t1 = torch.einsum('i,i->', t0, torch.ones(3))",
    "the name of a copy": X + "t1 = t0.narrow_copy(1, 0, 1)\nt1.sum().backward()",
    "a running sum in place": V + "t1 = t0 * 1\nt2 = t1\nt1.cumsum_(0)\nt1.sum().backward()",
    "a view as another type is no view": V + "t1 = t0.view(torch.int64)\nlog.append(t1._is_view())\nt1.detach_()\nt1.zero_()",
    "bits of memory that comes to require gradients": (
        V + "t1 = t0.detach().clone()\nt2 = t1.view(torch.int32)\nt3 = t2[:2].view(torch.float64)\nt1 *= t0\n"
        "(t1 + t3.sum()).sum().backward()"
    ),
    "what is loaded is no view": (
        V + "f = io.BytesIO()\ntorch.save(t0.detach()[::2], f)\nf.seek(0)\nt1 = torch.load(f)\nlog.append(t1._is_view())\nt1.detach_()"
    ),
    "the node of a view without gradients": (
        X + "with torch.no_grad(): t1 = t0.t()\nt2 = t1.view_as(t1)\nlog.append(t2.grad_fn.next_functions[0][0] is None)"
    ),
    "the edge of a view without gradients": (
        X + "with torch.no_grad(): t1 = t0[0]\ntorch.autograd.graph.get_gradient_edge(t1)"
    ),
    "a backward past a view without gradients, read": (
        X + "t1 = t0 * 2\nt2 = t1.kthvalue(1, 0)[0]\nwith torch.no_grad(): t3 = t1.t()\nt2.retain_grad()\nt4 = t3.prod()\n"
        "log.append(t2.sum().item())\nt4.backward()"
    ),
    "a write through bits and repetition": "t0 = torch.tensor(2.)\nt1 = t0.view(torch.float32).expand(2)\nt1[::2] = t1[::2] * 2",
    "a write through the real part and repetition": (
        "t0 = torch.tensor([1 + 2j, 3j])\nt1 = t0.real[:1].expand(2)\nt1[::2] = t1[::2] * 2 + 1"
    ),
    "a written view of something that retains": (
        V + "t1 = t0 + 1\nt2 = t1.view(-1)\nt2.retain_grad()\nt2.data = t2.detach().clone()\nt3 = t2 * 2\nt3.sum().backward()"
    ),
    "a backward hook inside hooks on what is kept": (
        V + "m0 = torch.nn.Linear(3, 3, dtype=torch.float64)\nh0 = m0.register_full_backward_hook(note_backward)\n"
        "with torch.autograd.graph.save_on_cpu(): t1 = m0(t0)\nc0 = torch.autograd.grad(t1.sum(), [t0])"
    ),
    "what an operator kept, of a walk that ended there": (
        V + "t1 = t0 * 2\nt2 = t1.double()\nc0 = torch.autograd.grad((t2 * 3).sum(), t1)\nlog.append(t1.tolist())\n"
        "torch.autograd.backward([t2.sum()], inputs=[t1])"
    ),
    "an operator on what was released": (
        V + "t1 = t0 * t0\nt1.sum().backward()\nt2 = t1 * 2\nc0 = torch.autograd.grad(t2.sum(), t1)"
    ),
    "an operator before it was released": (
        V + "t1 = t0 * t0\nt2 = t1.sinh()\nt1.sum().backward()\nc0 = torch.autograd.grad(t2.sum(), t1)"
    ),
    "a value that was read, released": (
        V + "t1 = t0 * t0\nlog.append(t1.tolist())\nt1.sum().backward()\nc0 = torch.autograd.grad((t1 * 2).sum(), t1)"
    ),
    "a written tensor that retains": (
        V + "t1 = t0 * 2\nt1.retain_grad()\nt1.sum().backward(retain_graph=True)\nt2 = InPlace.apply(t1)\nlog.append(t1.grad is None)\n"
        "t1.sum().backward()"
    ),
    "notes on a released node": (
        V + "t1 = t0.prod()\nt1.backward()\nt2 = t1.item()\nt1.grad_fn.metadata['k'] = 1\nlog.append(len(t1.grad_fn.metadata))"
    ),
    "the gradient of a read tensor that was written to": (
        V + "t1 = t0.flip(0)\nlog.append(t1.tolist())\nt2 = t1.sin()\ntorch.autograd.grad(t2.sum(), t0, create_graph=True)\n"
        "t1.neg_()\nc1 = torch.autograd.grad(t2.sum(), t1, allow_unused=True)"
    ),
    **{
        f"data that is a part of something else, {what}": V + "t1 = t0.sin()\nt2 = torch.arange(6.).double()\n" + program
        for what, program in {
            "read": "t1.data = t2[::2]\nt1.sum().backward()",
            "hooked": "h0 = t1.register_hook(doubled)\nt1.data = t2.view(2, 3)[1]\n(t1 * t1).sum().backward()",
            "seen through a view": "t1.data = t2[::2]\nt3 = t1.view(-1)[1:]\nt3.sum().backward()",
            "and back": "t1.data = t2[:3]\nt1.data = torch.ones(3).double()\n(t1 * t1).sum().backward()",
        }.items()
    },
    "a row that is not there, of no elements": "t0 = torch.zeros(2, 0)\nt1 = t0.index_select(0, torch.tensor([9]))",
    "elements of itself, by indices": "t0 = torch.arange(6).view(2, 3)\nt0[[0, 1]] = t0",
    "itself added by indices": "t0 = torch.arange(6).view(2, 3)\nt0.index_add_(0, torch.tensor([0, 1]), t0)",
    "itself scattered": "t0 = torch.arange(6).view(2, 3)\nt0.scatter_(0, torch.zeros(2, 3, dtype=torch.int64), t0)",
    "filled with an element of itself": "t0 = torch.arange(6).view(2, 3)\nt0.masked_fill_(t0 > 2, t0[0, 1])",
    **{
        f"a view of a view, {what}": (
            X + f"{before}t1 = t0.view(3, 2)\nt2 = t1.t()\nlog.append(t0.sum().item())\n"
            "t3 = (t2 * t2).sum() + (t1 * 2).sum()\nlog.append([g.tolist() for g in torch.autograd.grad(t3, [t2, t1, t0])])"
        )
        for what, before in {"read": "", "shared with numpy": "t9 = t0.detach().numpy()\n"}.items()
    },
    "a view of a view, which retains": (
        X + "t1 = (t0 * 1).view(3, 2)\nt2 = t1.t()\nt1.retain_grad()\nlog.append(t0.sum().item())\n(t2 * t2).sum().backward()"
    ),
    "a view of a view with a hook": (
        X + "t1 = t0.view(3, 2)\nt2 = t1.t()\nlog.append(t0.sum().item())\nh0 = t1.register_hook(doubled)\n(t2 * t2).sum().backward()"
    ),
    "a view of a module's output with hooks": (
        "t0 = torch.ones(1, 3, dtype=torch.float64)\nm0 = torch.nn.Linear(3, 2, dtype=torch.float64)\n"
        "h0 = m0.register_full_backward_pre_hook(change_output_gradient)\nt1 = m0(t0)\nt2 = t1.expand(2, 2)\nt3 = t1.t()\n"
        "log.append(t2.stride())"
    ),
    "the name of a reshape": X + "t1 = t0[:, :2].reshape(2, 1, 2)\nt2 = t0.t().reshape(3, 2, 1)\nt1.sum().backward()",
    "ravel of a strided view": X + "t1 = t0 * 1\nt2 = t1[:, 0].ravel()\nt2.mul_(2)\nt3 = t1 * 1",
    "a checkpoint that returns its input": (
        V + "m0 = torch.nn.Dropout(0.5).eval()\nt1 = torch.utils.checkpoint.checkpoint(m0, t0, use_reentrant=False)\n"
        "log.append(t1 is t0)\nt1.sum().backward()"
    ),
    **{
        f"a tensor whose shape was changed in place: {program}": (
            X + "h = t0 * 2\nw = h.view(-1)\n" + "\n".join(program.split("; "))
            + "\nlog.append(None if h.grad is None else h.grad.tolist())\ndel h, w"
        )
        for program in (
            "h.t_(); h.register_hook(doubled); h[-1] *= 0.5; (h * h).sum().backward()",
            "h.t_(); h.retain_grad(); h.register_hook(doubled); w[0] = w[1] * 4; (w.view(3, 2) * h).sum().backward()",
            "h.unsqueeze_(0); h.retain_grad(); h.register_hook(noted); h.sin_(); h[0, 1].mul_(2); h.backward(torch.ones_like(h))",
            "h.register_hook(doubled); h.transpose_(0, 1); h.exp_(); h.sum().backward()",
            "h.retain_grad(); h.t_(); (h * h).sum().backward()",
            "h.t_(); h.retain_grad(); h.unsqueeze_(0); (h * h).sum().backward()",
            "h.unsqueeze_(0); h.squeeze_(0); h.t_(); h.register_hook(doubled); h.retain_grad(); h[0] = h[1] * 2; "
            "log.append(h.tolist()); (h * h).sum().backward()",
            "h.t_(); h.retain_grad(); h.register_hook(doubled); h.detach().mul_(3); log.append(h.tolist()); w.sum().backward()",
            "h.t_(); h.grad_fn.register_prehook(grads_doubled); h.add_(1); w.sum().backward(create_graph=True)",
            "t1 = h.unsqueeze_(0) * 3; h.register_hook(doubled); h[0, 0] *= 2; t1.sum().backward(retain_graph=True); "
            "(w * t1.reshape(-1)).sum().backward()",
            "h.t_(); h.register_hook(doubled); h[-1] *= 0.5; log.append(torch.autograd.grad((h * h).sum(), [h, t0])[1].tolist())",
            "h.unsqueeze_(0); h.register_hook(doubled); h[0, 0] = 7; "
            "k = torch.autograd.grad((h ** 3).sum(), t0, create_graph=True)[0]; (k * k).sum().backward()",
            "h.t_(); v = h[0]; h.mul_(3); log.append([g.tolist() for g in torch.autograd.grad((v * v).sum(), [h, t0])])",
            "h.unsqueeze_(0); h.retain_grad(); v = h[0, 1]; v.fill_(2); ((v * v).sum() + h.sum()).backward()",
            "h.t_(); v = h[0].view(-1); h.register_hook(doubled); v *= 2; log.append(torch.autograd.grad((v * v).sum(), h)[0].tolist())",
        )
    },
    **{
        f"what `where` keeps under hooks: {hooks}": (
            X + f"with torch.autograd.graph.{hooks}:\n    t1 = torch.where(t0 > 0, t0, 0.5) * torch.where(t0 > 1, t0.sin(), t0)\n"
            "    t2 = t0.where(t0 > 2, t1)\n(t1 * t2).sum().backward()"
        )
        for hooks in ("save_on_cpu()", "saved_tensors_hooks(lambda t: t.numpy(force=True), torch.tensor)")
    },
    "a checkpoint that keeps the condition of `where`": (
        X + "k = torch.utils.checkpoint.checkpoint(lambda t: torch.where(t > 0, t, t.sin()) * 2, t0, use_reentrant=False)\n"
        "k.sum().backward()"
    ),
    "the edge of a view that a Function was given": (
        V + "t1 = t0[:2]\nt2, t3 = PassesOn.apply(t1)\nk = torch.autograd.graph.get_gradient_edge(t1)\n"
        "log.append(torch.autograd.grad(t2.sum(), k)[0].tolist())"
    ),
    "bits of the same type, written to": (
        V + "t1 = t0.view(torch.float64)\nt2 = torch.ones(3).double().requires_grad_()\nt1 -= t2\nt1.sum().backward()"
    ),
    "a refused write leaves the gradient of a leaf that is a view": (
        "t0 = torch.arange(6.).view(2, 3).requires_grad_()\nt0.grad = torch.ones_like(t0)\nt1 = InPlace.apply(t0)"
    ),
    "what a Function returns of what requires gradients later": "t0 = torch.eye(3)\nt1, t2 = PassesOn.apply(t0)\nt0.requires_grad_()",
    "a reentrant checkpoint without gradients that writes": (
        V + "with torch.no_grad(): t1 = torch.utils.checkpoint.checkpoint(torch.nn.ReLU(inplace=True), t0, use_reentrant=True)"
    ),
    "nothing is drawn for what can't be written to": "t0 = torch.ones(3).expand(2, 3)\nt0.uniform_()\nt1 = torch.rand(2)",
    "indices of another type, out of range": "m0 = torch.nn.Embedding(4, 3)\nt0 = m0(torch.tensor([3, 1, 4], dtype=torch.uint8))",
    "bags of indices of another type": "m0 = torch.nn.EmbeddingBag(4, 3)\nt0 = m0(torch.tensor([[3, 1]], dtype=torch.uint8))",
    "operands of two types and ranks in a bilinear map": "m0 = torch.nn.Bilinear(3, 3, 2)\nt0 = m0(torch.ones(()).double(), torch.ones(3))",
    "a number that does not fit, at a place that is not": "t0 = torch.zeros(2, 1, dtype=torch.uint8)\nt0[:, 1] = -0.75",
    **{
        f"a view, {what}": X + program
        for what, program in {
            "read by numpy, then retaining": (
                "t1 = t0 * t0\nt2 = t1[0]\nt3 = t2.sin()\nt4 = t2.detach().numpy()\nt2.retain_grad()\nt3.sum().backward()"
            ),
            "of what numpy shows, hooked": (
                "t1 = t0 * t0\nt2 = t1[0]\nt4 = t1.detach().numpy()\nt3 = t2.sin()\nh0 = t2.register_hook(doubled)\nt3.sum().backward()"
            ),
            "of what numpy shows, differentiated towards": (
                "t1 = t0 * t0\nt2 = t1[0]\nt3 = t2.sin()\nt4 = t1.detach().numpy()\n"
                "log.append([g.tolist() for g in torch.autograd.grad((t3 + t2).sum(), [t2, t1])])"
            ),
            "read, after a backward with create_graph": (
                "t2 = t0[None]\nt3 = t0 * t2\nlog.append(repr(t3))\nt3.sum().backward(create_graph=True)\n"
                "log.append(torch.autograd.grad(t3.sum(), t2)[0].tolist())"
            ),
            "after .data was written to, retaining": (
                "t1 = t0 * t0\nt2 = t1[0]\nt3 = t2.exp()\nt1.data.mul_(2)\nt2.retain_grad()\n(t3 + t2 * 3).sum().backward()"
            ),
            "hooked after a write": (
                "t1 = t0.view(-1)\nwith torch.no_grad(): t0[0] = 2\nt1.retain_grad()\nlog.append(type(t1.grad_fn).__name__)"
            ),
            "between complex and real, after a write": (
                "t1 = torch.view_as_complex(torch.stack([t0, t0], -1))\nt2, t3, t4 = torch.view_as_real(t1), t1.conj(), t1.real\n"
                "t1.mul_(2)\nlog.append([type(t.grad_fn).__name__ for t in (t2, t3, t4)])"
            ),
            "guarded, under hooks on what is kept": (
                "t1 = t0.chunk(2)[0]\nwith torch.no_grad(): t1.mul_(2)\nwith torch.autograd.graph.save_on_cpu(): t2 = t1.sin()"
            ),
            "guarded, as an edge": "t1 = t0.chunk(2)[1]\nt0.detach().mul_(2)\ntorch.autograd.graph.get_gradient_edge(t1)",
            "one of several, as an edge": (
                "t1 = t0.chunk(2)[1]\nc0 = torch.autograd.grad((t1 * t1).sum(), torch.autograd.graph.get_gradient_edge(t1))"
            ),
            "guarded, written by indices that are not there": "t1 = t0.split(1)[-1]\nt1[torch.tensor([7])] = 0",
            "of .data, a part of which is written to": "t1 = t0.split(1)\nt0.data.view(-1)[::2] *= 2\nlog.append(t1[0].grad_fn is None)",
        }.items()
    },
    **{
        f"a leaf that is a view, {what}": (
            f"t0 = torch.arange(6.)[1:4].requires_grad_()\nt1 = {made}\nlog.append(t1._is_view())\nt3 = t1[1:]\n"
            "t1.detach().mul_(2)\nt3.sum().backward()\nt1.detach_()"
        )
        for what, made in {"deep-copied": "copy.deepcopy(t0)", "pickled": "pickle.loads(pickle.dumps(t0))"}.items()
    },
    "a leaf that is a view, copied": (
        "t0 = torch.arange(6.)[1:4].requires_grad_()\nt1 = copy.copy(t0)\nwith torch.no_grad(): t2 = t1[::2]"
    ),
    "hooks of the other results, where the walk ends": (
        X + "t1, t2 = torch.aminmax(t0, dim=0)\ng0 = []\nh0 = torch.autograd.graph.register_multi_grad_hook([t0, t2], g0.append)\n"
        "torch.autograd.grad(t1.sum(), t1)\nt3, t4 = SavesIntermediate.apply(t0)\ng1 = []\n"
        "h1 = torch.autograd.graph.register_multi_grad_hook([t0, t4], g1.append)\ntorch.autograd.grad(t3.sum(), t3)"
    ),
    **{
        f"a write that autograd and the kernel refuse: {write}": "t0 = torch.ones(2, 3, dtype=torch.complex64).requires_grad_()\n" + write
        for write in (
            "t0.clamp_(-1, 1)", "torch.nn.functional.relu(t0, inplace=True)", "t0.add_(torch.ones(7))",
            "t0.index_fill_(0, torch.tensor([9]), 2)", "t0[7] = 2",
        )
    },
    **{
        f"gradients through as_strided of {what}": "t0 = torch.arange(6.).requires_grad_()\n" + program
        for what, program in {
            "imaginary parts": "t1 = (t0 + 1j * t0).imag\nt2 = t1.as_strided((2, 2), (4, 2))\nt2.mul_(3)\n(t2 * t2).sum().backward()",
            "complex numbers": (
                "t1 = torch.view_as_complex(t0.view(3, 2))\nt2 = t1.as_strided((2,), (1,))\n(t2 * t2).real.sum().backward()"
            ),
            "real parts with a hook": (
                "t1 = (t0 + 1j * t0).real\nh0 = t1.register_hook(doubled)\nt1.as_strided((2,), (1,)).square().sum().backward()"
            ),
        }.items()
    },
    **{
        f"two parameters over the same memory: {made}": (
            V + f"t1 = torch.nn.Parameter(t0)\nt2 = torch.nn.Parameter(t0.detach()[1:])\no0 = torch.optim.{made}\n"
            "for k in range(2):\n    o0.zero_grad()\n    ((t0 * t1).sum() + t2.sin().sum()).backward()\n    o0.step()"
        )
        for made in ("SGD([t0, t1, t2], lr=0.1)", "SGD([{'params': [t0]}, {'params': [t1, t2], 'weight_decay': 0.1}], lr=0.1)")
    },
    "the full name of a copy": V + "t1 = torch.zeros(3, dtype=torch.float64)\nt1.copy_(t0)\nlog.append(t1.grad_fn.name())",
    "a refused write leaves the gradient": (
        "t0 = torch.nn.Parameter(torch.arange(6.).view(2, 3)[1])\n(t0 * t0).sum().backward()\nt1 = InPlace.apply(t0)"
    ),
    **{
        f"a view under hooks on what is kept: {made}": (
            X + f"with torch.autograd.graph.save_on_cpu():\n    t1 = t0 * t0\n    {made}\nt2.sum().backward()"
        )
        for made in (
            "t2 = t1[..., 0] * t1[..., 0]", "t2 = t1.tanh() * 2; t2[..., 0].mul_(0.5)", "t2 = t1.t() @ t1",
            "t1[0].copy_(t1[1] * 2); t2 = t1 * t1",
            "t2 = t1.sin(); t2[0].exp_()", "t2 = t1[:1] * 3; t3 = t2.t(); t3.mul_(2); t2 = t2 * t2",
        )
    },
    **{
        f"a result beside another of its operator, {what}": X + program
        for what, program in {
            "asked for": (
                "t1, t2 = torch.aminmax(t0 * 1, dim=0)\nh0 = t2.register_hook(noted)\n"
                "torch.autograd.backward([t2.sum() + 0 * t1.sum()], inputs=[t1])"
            ),
            "of which alone a gradient comes": (
                "t1, t2 = torch.var_mean(t0 * 1, dim=1)\nh0 = t1.register_hook(lambda g: log.append(g is None))\n"
                "log.append(torch.autograd.grad(t2.sum(), t1, allow_unused=True))"
            ),
            "of which alone a gradient comes, after a cut": (
                "t1, t2 = torch.aminmax(t0 * 1, dim=0)\nh0 = t1.register_hook(lambda g: log.append(g is None))\n"
                "log.append(t1.sum().item())\nlog.append(torch.autograd.grad(t2.sum(), t1, allow_unused=True))"
            ),
            "with a hook on the node": (
                "t1, t2 = torch.aminmax(t0 * 1, dim=0)\nh0 = t1.grad_fn.register_prehook(all_noted)\n"
                "torch.autograd.backward([t2.sum()], inputs=[t1])"
            ),
            "of a Function": (
                "t1, t2 = SavesIntermediate.apply(t0)\nh0 = t1.register_hook(lambda g: log.append(g is None))\n"
                "t3, t4 = PassesOn.apply(t2)\nlog.append(torch.autograd.grad(t3.sum(), t1, allow_unused=True))"
            ),
            "of a Function that returns too small a gradient": (
                "t1, t2 = PassesOn.apply(t0)\ntorch.autograd.backward([t2.sum()], inputs=[t1])"
            ),
            "of a Function with a hook on the node": (
                "t1, t2 = PassesOn.apply(t0)\nh0 = t2.grad_fn.register_prehook(lambda grads: log.append(len(grads)))\n"
                "torch.autograd.backward([t1.sum()], inputs=[t2])"
            ),
        }.items()
    },
    **{
        f"a view of what was detached in place, {what}": X + "t1 = t0 * 2\nt2 = t1[::2]\nt1.detach_()\n" + program
        for what, program in {
            "read": "t2.sum().backward()", "written to": "t2[0] = 1", "with a part that is written to": "t3 = t2[0]\nt3.mul_(2)",
            "written under no_grad": "with torch.no_grad(): t2.mul_(2)\nt2.sum().backward()",
            "after a write to that": "log.append(t2.sum().item())\nt1.mul_(2)\nt3 = t2 * 2\nt3.sum().backward()",
        }.items()
    },
    **{
        f"as_strided of a guarded view, {what}": X + f"t1 = t0.chunk(2)[0]\nt0.detach().mul_(2)\n{with_}t2 = t1.as_strided((2, 2), (1, 1))"
        for what, with_ in {"with gradients": "", "without": "with torch.no_grad(): t0.data.mul_(2)\n"}.items()
    },
    **{
        f"a view without gradients of a parameter that is a view, {what}": (
            "t0 = torch.nn.Parameter(torch.arange(6.).double().view(2, 3)[1])\nwith torch.no_grad():\n    t1 = t0.swapdims(0, -1)\n"
            + program
        )
        for what, program in {
            "asked for": "torch.autograd.grad(t0.sum(), t1)",
            "told to retain": "t1.retain_grad()", "given a hook": "t1.register_hook(doubled)",
            "in a Function": "t2, t3 = PassesOn.apply(t1)", "where a backward starts": "t1.backward(torch.ones_like(t1))",
            "in a Function, walked": "t2, t3 = PassesOn.apply(t1)\nt3.mean().backward(create_graph=True)",
            "and its base": "log.append([t1._is_view(), t1._base is t0])",
        }.items()
    },
    "a view without gradients that may not be used, told to retain": (
        "t0 = torch.nn.Parameter(torch.ones(2).double())\nwith torch.no_grad(): t1 = t0[:1]\nt2 = InPlace.apply(t0)\nt1.retain_grad()"
    ),
    "writes to .data by a Function and by a change of shape": (
        "t0 = torch.arange(6.).double()[1:4].requires_grad_()\nt1 = t0.unsqueeze(0)\nt2 = InPlace.apply(t0.data)\n"
        "t3 = t0.data.unsqueeze_(0)"
    ),
    "hooks of a leaf that has stopped requiring gradients": (
        V + "t1 = t0 * 1\nn0 = torch.autograd.graph.get_gradient_edge(t0).node\nh0 = n0.register_hook(node_noted)\n"
        "h1 = n0.register_prehook(all_noted)\nt0.detach_()\nt1.sum().backward()"
    ),
    **{
        f"normalization of an empty batch in another type: {made}": (
            f"m0 = torch.nn.{made}\nt0 = torch.zeros({shape}).requires_grad_()\nt1 = m0(t0).sum()\nt1.backward()"
        )
        for made, shape in {
            "BatchNorm1d(3, dtype=torch.float64)": "0, 3", "BatchNorm1d(3, dtype=torch.bfloat16).eval()": "2, 3, 0",
            "InstanceNorm1d(3, affine=True, dtype=torch.float64)": "2, 3, 0", "LayerNorm(3, dtype=torch.float64)": "0, 3",
        }.items()
    },
    "a view of a detached view that was told to require gradients": (
        "t0 = torch.arange(6.).double().view(2, 3)[1].detach()\nt1 = t0[1:]\nt0.requires_grad_(False)\nt0.requires_grad_()\nt1.mul_(2)"
    ),
    **{
        f"a shape changed in place without gradients: {what}": (
            X + "t1 = t0 - 3\nt2 = (t1 * 2).sum()\nwith torch.no_grad():\n    t1.unsqueeze_(0)\n" + program
        )
        for what, program in {
            "asked for": "c0 = torch.autograd.grad(t2, t1)", "asked for by its edge": (
                "c0 = torch.autograd.grad(t2, torch.autograd.graph.get_gradient_edge(t1))"
            ),
            "used": "c0 = torch.autograd.grad((t1 * 3).sum(), t1)", "with a hook": "h0 = t1.register_hook(noted)\nt2.backward()",
            "retained": "t1.retain_grad()\nt2.backward()", "its node": "log.append(type(t1.grad_fn).__name__)",
        }.items()
    },
    "as_strided of a tensor whose shape was changed in place": (
        X + "t1 = -t0\nt1.unsqueeze_(0)\nt2 = t1.as_strided((2,), (1,))\nc0 = torch.autograd.grad(t2.sum(), t1)\ndel t1"
    ),
    "as_strided of a view of a leaf, with a hook": (
        X + "t1 = t0.as_strided((2,), (1,))\nh0 = t1.register_hook(doubled)\nt2 = t1.as_strided((2,), (1,))\nt2[..., 0] *= 3"
    ),
    "parts of what is split, then told to require gradients and not to": (
        "t0 = torch.arange(6.).double()\nc0 = t0.chunk(2)\nt1 = InPlace.apply(t0)\nt0.requires_grad_()\nlog.append(c0[0].is_leaf)\n"
        "t0.requires_grad_(False)"
    ),
    **{
        f"a part of itself written to a tensor: {write}": X + f"t1 = t0 * 2\nm1 = t1 > 1\n{write}\nt1.sum().backward()"
        for write in (
            "t1[1:] = t1[1, 0]", "t1[1] = t1[1, :1]", "t1[...] = t1[0]", "t1[1:] = t1[1]", "t1[m1] = t1[1, 0]", "t1[True] = t1",
            "t1[1, m1[0]] = t1[1, :1]", "t1[1, 1:] = t1[1, :-1]", "t1[1, 0] = t1[1]", "t1[1:, :1] = t1[1, 0]",
        )
    },
    **{
        f"integers as gradients: {call}": f"t0 = torch.arange(3)\nt0.grad = torch.ones_like(t0)\nc0 = torch.nn.utils.{call}"
        for call in ("clip_grad_value_([t0], 0.5)", "clip_grad_norm_([t0], 0.5)", "get_total_norm([t0])")
    },
    "batch normalization of nothing": (
        "m0 = torch.nn.BatchNorm1d(3, dtype=torch.float64)\nt1 = m0(torch.zeros(0, 3).double())\n"
        "m1 = torch.nn.BatchNorm1d(3, affine=False)\nt2 = m1(torch.zeros(0, 3).requires_grad_())"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_found(name):
    outcome = attempt(re.split(r"\n(?! )", PROGRAMS[name]), "programs")
    assert outcome.difference is None, str(outcome.difference)
