"""Differential equations, Gaussian processes and inference."""

import torch


def equations(folder):
    from torchdiffeq import odeint, odeint_adjoint

    net = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))

    class Field(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, t, y):
            return self.net(y**3) - 0.1 * y * t

    torch.manual_seed(0)
    field = Field()
    for p in field.parameters():
        torch.nn.init.normal_(p, std=0.3)
    y, t = torch.tensor([[2.0, 0.0]], requires_grad=True), torch.linspace(0, 1, 4)
    found = {}
    for method in ("dopri5", "rk4", "euler", "midpoint", "implicit_adams", "bosh3"):
        found[method] = odeint(field, y, t, method=method, rtol=1e-4, atol=1e-5)
    found["dopri5"].sum().backward()
    found |= {f"gradient {n}": p.grad.clone() for n, p in field.named_parameters()} | {"gradient y": y.grad.clone()}
    field.zero_grad()
    out = odeint_adjoint(field, y, t, rtol=1e-5, atol=1e-6)
    out.square().sum().backward()
    return found | {"adjoint": out} | {f"gradient adjoint {n}": p.grad.clone() for n, p in field.named_parameters()}


def stochastic(folder):
    import torchsde

    class SDE(torch.nn.Module):
        noise_type, sde_type = "diagonal", "ito"

        def __init__(self):
            super().__init__()
            self.mu, self.sigma = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)

        def f(self, t, y):
            return self.mu(y)

        def g(self, t, y):
            return self.sigma(y).sigmoid()

    torch.manual_seed(0)
    sde = SDE()
    y = torch.full((3, 2), 0.1, requires_grad=True)
    t = torch.linspace(0, 1, 3)
    found = {}
    for method in ("euler", "milstein", "srk"):
        noise = torchsde.BrownianInterval(0.0, 1.0, (3, 2), entropy=5, levy_area_approximation="space-time")
        found[method] = torchsde.sdeint(sde, y, t, bm=noise, method=method, dt=0.25)
    found["euler"].square().sum().backward()
    found |= {f"gradient {n}": p.grad.clone() for n, p in sde.named_parameters()}
    return found


def processes(folder):
    import gpytorch

    class GP(gpytorch.models.ExactGP):
        def __init__(self, x, y, likelihood):
            super().__init__(x, y, likelihood)
            self.mean_module = gpytorch.means.ConstantMean()
            self.covar_module = gpytorch.kernels.ScaleKernel(gpytorch.kernels.RBFKernel() + gpytorch.kernels.MaternKernel(1.5))

        def forward(self, x):
            return gpytorch.distributions.MultivariateNormal(self.mean_module(x), self.covar_module(x))

    torch.manual_seed(0)
    x = torch.linspace(0, 1, 12)
    y = torch.sin(6 * x) + 0.1 * torch.randn(12)
    likelihood = gpytorch.likelihoods.GaussianLikelihood()
    model = GP(x, y, likelihood)
    opt = torch.optim.Adam(model.parameters(), 0.1)
    mll = gpytorch.mlls.ExactMarginalLogLikelihood(likelihood, model)
    found = {}
    for step in range(4):
        opt.zero_grad()
        loss = -mll(model(x), y)
        loss.backward()
        opt.step()
        found[f"loss {step}"] = loss.detach()
    model.eval(), likelihood.eval()
    with torch.no_grad(), gpytorch.settings.fast_pred_var():
        predicted = likelihood(model(torch.linspace(0, 1, 7)))
        found |= {"mean": predicted.mean, "variance": predicted.variance}
    return found | model.state_dict()


def variational(folder):
    import gpytorch

    class GP(gpytorch.models.ApproximateGP):
        def __init__(self, points):
            q = gpytorch.variational.CholeskyVariationalDistribution(points.shape[0])
            super().__init__(gpytorch.variational.VariationalStrategy(self, points, q, learn_inducing_locations=True))
            self.mean_module = gpytorch.means.ConstantMean()
            self.covar_module = gpytorch.kernels.ScaleKernel(gpytorch.kernels.RBFKernel(ard_num_dims=2))

        def forward(self, x):
            return gpytorch.distributions.MultivariateNormal(self.mean_module(x), self.covar_module(x))

    torch.manual_seed(0)
    x = torch.rand(10, 2)
    y = (x.sum(-1) > 1).float()
    model, likelihood = GP(x[:5].clone()), gpytorch.likelihoods.BernoulliLikelihood()
    opt = torch.optim.Adam(model.parameters(), 0.05)
    mll = gpytorch.mlls.VariationalELBO(likelihood, model, 10)
    found = {}
    for step in range(3):
        opt.zero_grad()
        loss = -mll(model(x), y)
        loss.backward()
        opt.step()
        found[f"loss {step}"] = loss.detach()
    return found | model.state_dict()


def bayesian(folder):
    from botorch.acquisition import LogExpectedImprovement, qExpectedImprovement
    from botorch.models import SingleTaskGP
    from botorch.sampling import SobolQMCNormalSampler

    torch.manual_seed(0)
    x = torch.rand(8, 2, dtype=torch.double)
    y = (x * 6).sin().sum(-1, keepdim=True)
    model = SingleTaskGP(x, y)
    at = torch.rand(3, 1, 2, dtype=torch.double, requires_grad=True)
    ei = LogExpectedImprovement(model, y.max())(at)
    ei.sum().backward()
    found = {"ei": ei, "gradient at": at.grad.clone()}
    found["qei"] = qExpectedImprovement(model, y.max(), SobolQMCNormalSampler(torch.Size([16]), seed=1))(
        torch.rand(2, 2, 2, dtype=torch.double)
    )
    posterior = model.posterior(torch.rand(4, 2, dtype=torch.double))
    return found | {"mean": posterior.mean, "variance": posterior.variance}


def pyro_svi(folder):
    import pyro
    import pyro.distributions as dist
    from pyro.infer import SVI, Trace_ELBO
    from pyro.infer.autoguide import AutoMultivariateNormal, AutoNormal

    found = {}
    for guide_of in (AutoNormal, AutoMultivariateNormal):
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        x = torch.randn(12, 2)
        y = x @ torch.tensor([1.0, -2.0]) + 0.1 * torch.randn(12)

        def model(x, y):
            w = pyro.sample("w", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            s = pyro.sample("s", dist.HalfNormal(1.0))
            with pyro.plate("data", len(x)):
                pyro.sample("y", dist.Normal(x @ w, s), obs=y)

        guide = guide_of(model)
        svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.05}), Trace_ELBO())
        found |= {f"{guide_of.__name__} loss {i}": torch.tensor(svi.step(x, y)) for i in range(4)}
        found |= {f"{guide_of.__name__} {k}": v.detach() for k, v in pyro.get_param_store().items()}
    return found


def pyro_mcmc(folder):
    import pyro
    import pyro.distributions as dist
    from pyro.infer import HMC, MCMC

    pyro.set_rng_seed(0)
    y = torch.randn(8) + 1

    def model():
        m = pyro.sample("m", dist.Normal(0.0, 3.0))
        pyro.sample("y", dist.Normal(m, 1.0).expand([8]).to_event(1), obs=y)

    run = MCMC(HMC(model, step_size=0.1, num_steps=3, adapt_step_size=False), num_samples=4, warmup_steps=0, disable_progbar=True)
    run.run()
    return dict(run.get_samples())


ROWS = {
    "torchdiffeq odeint": equations, "torchsde sdeint": stochastic, "gpytorch exact": processes, "gpytorch variational": variational,
    "botorch acquisition": bayesian, "pyro svi": pyro_svi, "pyro mcmc": pyro_mcmc,
}  # fmt: skip
