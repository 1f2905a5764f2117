"""What distributions, constraints and transforms print, and what they say of bad arguments: PyTorch's text."""

from __future__ import annotations

import re
import warnings

import torch
import torch.distributions

import jaxnn
import jaxnn.distributions

#: D: distributions, C: constraints, T: tensor.
EXPRESSIONS = """
D.Uniform(1.,0.)
D.Uniform(1.,0.,validate_args=False)
D.Uniform(0.,1.).arg_constraints
D.Uniform(0.,1.).mode
D.Uniform(0.,1.).support
D.Uniform(0.,1.).log_prob(T(2.))
D.Wishart(T(3.), torch.eye(2)).arg_constraints
D.Wishart(T(0.5), torch.eye(2))
D.Wishart(T(1.5), torch.eye(2))
D.Wishart(T(3.), torch.tensor(1.))
D.Wishart(T(3.))
D.Wishart(T(3.), torch.eye(2)).support
D.Normal(0.,-1.)
D.Normal("a",1.)
D.Bernoulli()
D.Bernoulli(probs=T(.5),logits=T(.1))
D.Bernoulli(probs=1.5)
D.Categorical()
D.Categorical(probs=T(1.))
D.Categorical(logits=T(1.))
D.Categorical(probs=T([-.5,1.]))
D.Categorical(probs=T([.5,1.])).mean
D.Categorical(probs=T([.5,1.])).log_prob(T(4))
D.Categorical(probs=T([.5,1.])).support
D.Binomial(-1,T(.5))
D.Binomial(3)
D.Binomial(T([3,4]),T(.5)).enumerate_support()
D.Binomial(3,T(.5)).support
D.Multinomial(T(3),T([.5,.5]))
D.Multinomial(3)
D.Multinomial(3,T([.5,.5])).support
D.Multinomial(3,T([.5,.5])).log_prob(T([2.,2.]))
D.Geometric(T(0.))
D.Geometric(T(1.5))
D.Geometric()
D.Geometric(logits=T(float('nan')))
D.Dirichlet(T(1.))
D.Dirichlet(T([1.,-1.]))
D.MultivariateNormal(T(1.),torch.eye(1))
D.MultivariateNormal(torch.zeros(2))
D.MultivariateNormal(torch.zeros(2),torch.eye(2),torch.eye(2))
D.MultivariateNormal(torch.zeros(2),torch.ones(2))
D.MultivariateNormal(torch.zeros(2),precision_matrix=torch.ones(2))
D.MultivariateNormal(torch.zeros(2),scale_tril=torch.ones(2))
D.MultivariateNormal(torch.zeros(2),torch.ones(2,2))
D.MultivariateNormal(torch.zeros(2),torch.eye(3))
D.MultivariateNormal(torch.zeros(2),torch.eye(2))
D.MultivariateNormal(torch.zeros(2),torch.eye(2)).log_prob(torch.zeros(3))
D.LowRankMultivariateNormal(T(1.),torch.eye(1),torch.ones(1))
D.LowRankMultivariateNormal(torch.zeros(2),torch.ones(2),torch.ones(2))
D.LowRankMultivariateNormal(torch.zeros(2),torch.ones(3,1),torch.ones(2))
D.LowRankMultivariateNormal(torch.zeros(2),torch.ones(2,1),torch.ones(3))
D.LowRankMultivariateNormal(torch.zeros(4,2),torch.ones(3,2,1),torch.ones(2))
D.LKJCholesky(1)
D.LKJCholesky(3,-1.)
D.LKJCholesky(3)
D.MixtureSameFamily(D.Normal(0.,1.),D.Normal(0.,1.))
D.MixtureSameFamily(D.Categorical(torch.ones(3)),3)
D.MixtureSameFamily(D.Categorical(torch.ones(3)),D.Normal(0.,1.))
D.MixtureSameFamily(D.Categorical(torch.ones(3)),D.Normal(torch.zeros(4),1.))
D.MixtureSameFamily(D.Categorical(torch.ones(2,3)),D.Normal(torch.zeros(4,3),1.))
D.MixtureSameFamily(D.Categorical(torch.ones(3)),D.Normal(torch.zeros(3),1.))
D.MixtureSameFamily(D.Categorical(torch.ones(3)),D.Normal(torch.zeros(3),1.)).support
D.MixtureSameFamily(D.Categorical(torch.ones(3)),D.Normal(torch.zeros(3),1.)).mode
D.MixtureSameFamily(D.Categorical(torch.ones(3)),D.Poisson(torch.ones(3))).rsample()
D.Independent(D.Normal(0.,1.),1)
D.Independent(D.Normal(torch.zeros(3),1.),1)
D.Independent(D.Bernoulli(torch.zeros(3)),1).enumerate_support()
D.Independent(D.Bernoulli(torch.zeros(3)),0).enumerate_support().shape
D.Independent(D.Normal(torch.zeros(3),1.),1).support
D.TransformedDistribution(D.Normal(0.,1.), 3)
D.TransformedDistribution(D.Normal(0.,1.), [3])
D.TransformedDistribution(D.Normal(0.,1.), D.StickBreakingTransform())
D.TransformedDistribution(D.Normal(0.,1.), [D.ExpTransform()])
D.TransformedDistribution(D.Normal(0.,1.), [D.ExpTransform()]).support
D.TransformedDistribution(D.Normal(0.,1.), [D.ExpTransform()]).log_prob(T(-1.))
D.TransformedDistribution(D.Normal(0.,1.), []).support
D.TransformedDistribution(D.Normal(0.,1.), [D.AffineTransform(1.,2.)]).support
D.TransformedDistribution(D.Normal(torch.zeros(3),1.), [D.AffineTransform(1.,2.,event_dim=1)]).support
D.TransformedDistribution(D.Normal(0.,1.), [D.AbsTransform()]).log_prob(T(1.))
D.TransformedDistribution(D.Normal(torch.zeros(4),1.), [D.ReshapeTransform((4,),(2,2))])
D.TransformedDistribution(D.Normal(torch.zeros(4),1.), [D.SoftmaxTransform()]).cdf(torch.ones(4)/4)
D.RelaxedBernoulli(T(1.),.3)
D.RelaxedBernoulli(T(1.))
D.RelaxedOneHotCategorical(T(1.),torch.ones(3)).log_prob(torch.ones(3))
D.RelaxedOneHotCategorical(T(1.),torch.ones(3))
D.VonMises(0.,1.)
D.VonMises(T(0.),T(1.)).cdf(T(.1))
D.VonMises(T(0.),T(1.)).rsample()
D.VonMises(T(0.),T(1.)).entropy()
D.StudentT(3.).mean
D.StudentT(T([.5,1.5,3.])).variance
D.StudentT(T([.5,1.5,3.])).mean
D.StudentT(-1.)
D.StudentT(3.)
D.Cauchy(0.,1.).variance
D.HalfCauchy(1.)
D.HalfCauchy(T([1.])).scale
D.HalfCauchy(1.).support
D.HalfNormal(1.).log_prob(T(-1.))
D.HalfCauchy(1.,validate_args=False).log_prob(T(-1.))
D.HalfNormal(1.,validate_args=False).cdf(T(-1.))
D.Kumaraswamy(1.,2.)
D.LogisticNormal(torch.zeros(3),torch.ones(3))
D.LogisticNormal(0.,1.)
D.LogisticNormal(torch.zeros(3),torch.ones(3)).mean
D.InverseGamma(1.,2.)
D.InverseGamma(1.,2.).mean
D.InverseGamma(1.,2.).variance
D.Gumbel(0.,1.)
D.Weibull(1.,2.)
D.Pareto(1.,2.)
D.Pareto(1.,2.).support
D.Pareto(1.,1.).mean
D.Pareto(1.,2.).variance
D.GeneralizedPareto(0.,1.,.3)
D.GeneralizedPareto(0.,1.,.3).support
D.GeneralizedPareto(0.,1.,-.3).support
D.GeneralizedPareto(0.,1.,T([-.3,.5,1.2])).mean
D.GeneralizedPareto(0.,1.,T([-.3,.4,.7,1.2])).variance
D.GeneralizedPareto(0.,1.,T([-.3,.4,.7,1.2])).mode
D.GeneralizedPareto(0.,1.,T([-.3,0.,.7,1.2])).entropy()
D.GeneralizedPareto(0.,1.,T([-.3,0.,.7,1.2])).log_prob(T(5.))
D.GeneralizedPareto(0.,1.,T([-.3,0.,.7,1.2])).log_cdf(T(2.))
D.GeneralizedPareto(0.,1.,T([-.3,0.,.7,1.2])).log_survival_function(T(2.))
D.GeneralizedPareto(0.,1.,T([-.3,0.,.7,1.2])).cdf(T(2.))
D.GeneralizedPareto(0.,1.,T([-.3,0.,.7,1.2])).icdf(T(.3))
D.GeneralizedPareto(0.,1.,T([-.3,0.,.7,1.2]),validate_args=False).icdf(T(1.3))
D.GeneralizedPareto(T(0),1,1)
D.NegativeBinomial(3.,T(.5))
D.NegativeBinomial(3.)
D.NegativeBinomial(3.,T(1.))
D.NegativeBinomial(T([3.,.5]),T(.7)).mode
D.ContinuousBernoulli(T(.5))
D.ContinuousBernoulli(.4)
D.Chi2(3.)
D.Chi2(-3.)
D.FisherSnedecor(T([1.,3.,5.]),T([1.,2.5,5.])).variance
D.FisherSnedecor(T([1.,3.,5.]),T([1.,2.5,5.])).mean
D.FisherSnedecor(T([1.,3.,5.]),T([1.,2.5,5.])).mode
D.Beta(T([1.,.5,3.]),T([1.,2.5,5.])).mode
D.Dirichlet(T([1.,.5,3.])).mode
D.Dirichlet(T([1.,1.,1.])).mode
D.Dirichlet(T([.1,.5,.7])).mode
D.Gamma(T([.5,2.]),1.).mode
D.OneHotCategorical(torch.ones(3))
D.OneHotCategorical(torch.ones(3)).log_prob(torch.ones(3))
D.OneHotCategoricalStraightThrough(torch.ones(3))
D.Poisson(-1.)
D.Poisson(T([.5,3.])).mode
D.Poisson(3.).log_prob(T(1.5))
D.Poisson(3.).entropy()
D.Bernoulli(T([.3,.5,.8])).mode
D.Binomial(T([3.,4.]),T([.3,1.])).mode
D.Laplace(0.,1.)
D.LogNormal(0.,1.)
D.Exponential(1.).log_prob(1.)
D.Exponential(torch.ones(3)).log_prob(torch.ones(2))
D.kl_divergence(D.Normal(0.,1.),D.Poisson(1.))
D.kl_divergence(D.Independent(D.Normal(torch.zeros(3),1.),1),D.Independent(D.Normal(torch.zeros(3,3),1.),2))
D.kl_divergence(D.MultivariateNormal(torch.zeros(2),torch.eye(2)),D.MultivariateNormal(torch.zeros(3),torch.eye(3)))
D.kl_divergence(D.Binomial(3,T(.5)),D.Binomial(4,T(.5)))
D.kl_divergence(D.Binomial(4,T(.5)),D.Binomial(3,T(.5)))
D.kl_divergence(D.Bernoulli(.5),D.Poisson(1.))
D.kl_divergence(D.Gamma(1.,1.),D.Uniform(0.,1.))
D.kl_divergence(D.Poisson(1.),D.Bernoulli(.5))
D.kl_divergence(D.LogNormal(0.,1.),D.TransformedDistribution(D.Normal(0.,1.), [D.TanhTransform()]))
D.kl_divergence(D.HalfNormal(1.),D.HalfNormal(2.))
D.kl_divergence(D.LogNormal(0.,1.),D.LogNormal(1.,2.))
D.register_kl(3,D.Normal)
D.register_kl(D.Normal,3)
D.biject_to(C.positive)
D.biject_to(C.boolean)
D.transform_to(C.one_hot)
D.transform_to(C.simplex)
D.biject_to(C.simplex)
D.biject_to(C.interval(0.,2.))
D.biject_to(C.interval(0.,1.))
D.biject_to(C.greater_than(1.))
D.biject_to(C.less_than(1.))
D.biject_to(C.half_open_interval(0.,3.))
D.biject_to(C.greater_than_eq(3.))
D.transform_to(C.positive_definite)
D.transform_to(C.positive_semidefinite)
D.transform_to(C.lower_cholesky)
D.transform_to(C.corr_cholesky)
D.transform_to(C.real)
D.transform_to(C.real_vector)
D.biject_to(C.cat([C.real,C.positive],lengths=[1,2]))
D.biject_to(C.stack([C.real,C.positive]))
D.biject_to(C.dependent)
C.interval(T(0.),T([1.,2.]))
C.cat([C.real,C.positive],lengths=[1,2])
C.cat([3])
C.stack([3])
C.cat([C.real],lengths=[1,2])
C.independent(3,1)
C.independent(C.real,-1)
C.dependent.check(T(1.))
C.dependent.event_dim
C.dependent(is_discrete=True).is_discrete
C.real_vector.check(T(1.))
C.stack([C.real,C.positive])
C.multinomial(3)
C.greater_than(T([1.,2.]))
D.biject_to.register(3,lambda x:x)
D.ExpTransform(cache_size=3)(T(1.))
D.ExpTransform().inv
D.ExpTransform().inv.inv
D.ComposeTransform([D.ExpTransform(),D.AffineTransform(0.,1.)])
D.ComposeTransform([D.ExpTransform(),D.AffineTransform(0.,1.)]).inv
D.ComposeTransform([D.ExpTransform(),D.AffineTransform(0.,1.)]).sign
D.ComposeTransform([D.ExpTransform(),D.AbsTransform()]).sign
D.IndependentTransform(D.ExpTransform(),1)
D.IndependentTransform(D.ExpTransform(),1)(T(1.))
D.ReshapeTransform((4,),(3,))
D.ReshapeTransform((4,),(2,2))
D.ReshapeTransform((4,),(2,2))(torch.ones(3))
D.ReshapeTransform((4,),(2,2)).forward_shape((3,))
D.ReshapeTransform((4,),(2,2)).forward_shape(())
D.ReshapeTransform((4,),(2,2)).inverse_shape((2,3))
D.PowerTransform(2.)
D.PowerTransform(T(2.))
D.AffineTransform(T([1.,2.]),T([1.,-2.])).sign
D.AffineTransform(1.,-2.).sign
D.AffineTransform(1.,2.,event_dim=1)
D.AffineTransform(1.,2.,event_dim=-1)
D.SoftmaxTransform()(T(1.))
D.SoftmaxTransform().log_abs_det_jacobian(T([1.]),T([1.]))
D.SoftmaxTransform().bijective
D.SoftmaxTransform().sign
D.SoftmaxTransform().forward_shape(())
D.StickBreakingTransform().forward_shape(())
D.StickBreakingTransform().forward_shape((3,))
D.StickBreakingTransform().inverse_shape((3,))
D.StickBreakingTransform().inverse_shape(())
D.CorrCholeskyTransform().forward_shape((3,))
D.CorrCholeskyTransform().forward_shape((4,))
D.CorrCholeskyTransform().forward_shape(())
D.CorrCholeskyTransform().inverse_shape((3,4))
D.CorrCholeskyTransform().inverse_shape((3,))
D.CorrCholeskyTransform()
D.LowerCholeskyTransform()
D.PositiveDefiniteTransform()
D.CatTransform([D.ExpTransform(),D.AffineTransform(0.,1.)])
D.CatTransform([3])
D.CatTransform([D.ExpTransform(),D.AffineTransform(0.,1.)],lengths=[1])
D.CatTransform([D.ExpTransform(),D.AffineTransform(0.,1.)])(torch.ones(3))
D.StackTransform([D.ExpTransform(),D.AffineTransform(0.,1.)])
D.StackTransform([3])
D.StackTransform([D.ExpTransform(),D.AffineTransform(0.,1.)])(torch.ones(3))
D.StackTransform([D.ExpTransform(),D.AffineTransform(0.,1.)])(torch.ones(2))
D.CumulativeDistributionTransform(D.Normal(0.,1.))
D.CumulativeDistributionTransform(D.Normal(0.,1.)).codomain
D.identity_transform
D.transforms.Transform()
D.transforms.Transform()(T(1.))
D.transforms.Transform().sign
D.AbsTransform().inv(T(1.))
D.AbsTransform().sign
D.ExpTransform() == D.ExpTransform()
D.ExpTransform() == D.TanhTransform()
D.AffineTransform(1.,2.) == D.AffineTransform(1.,2.)
D.AffineTransform(T(1.),2.) == D.AffineTransform(T(1.),2.)
D.AffineTransform(T(1.),2.) == D.AffineTransform(T(2.),2.)
D.PowerTransform(T(2.)) == D.PowerTransform(T(2.))
D.ComposeTransform([D.ExpTransform()]) == D.ComposeTransform([D.ExpTransform()])
D.ExpTransform().inv == D.ExpTransform().inv
D.AffineTransform(1.,2.).domain
D.AffineTransform(1.,2.,event_dim=1).domain
D.SigmoidTransform().codomain
D.TanhTransform().codomain
D.ExpTransform().codomain
D.SoftplusTransform().codomain
D.PowerTransform(T(2.)).domain
D.AbsTransform().codomain
D.StickBreakingTransform().codomain
D.ComposeTransform([D.ExpTransform(),D.AffineTransform(0.,1.)]).codomain
D.ComposeTransform([]).codomain
D.ComposeTransform([D.SoftmaxTransform(),D.ExpTransform()]).codomain
D.ComposeTransform([D.ExpTransform(),D.SoftmaxTransform()]).domain
D.ComposeTransform([D.ReshapeTransform((4,),(2,2)),D.ExpTransform()]).codomain
D.IndependentTransform(D.ExpTransform(),1).codomain
D.ReshapeTransform((4,),(2,2)).codomain
D.ReshapeTransform((),(1,)).domain
D.CatTransform([D.ExpTransform(),D.AffineTransform(0.,1.)]).codomain
D.Distribution()
D.Distribution(validate_args=False)
D.Distribution(validate_args=False).mean
D.Distribution(validate_args=False).mode
D.Distribution.set_default_validate_args(3)
D.Distribution(validate_args=False).expand((2,))
D.Normal(torch.zeros(2,1),torch.ones(3)).expand((4,2,3))
D.Normal(torch.zeros(2,1),torch.ones(3)).expand((4,))
D.Normal(0.,1.).sample_n(2).shape
D.Normal(0.,1.).enumerate_support()
D.utils.vec_to_tril_matrix(torch.ones(5))
D.utils.broadcast_all(1,2.)
D.utils.broadcast_all([1],2.)
D.Normal(0.,1.).sample(3)
D.Categorical(probs=torch.ones(2,3)).mode
D.Categorical(probs=torch.ones(2,3)).param_shape
D.Categorical(probs=torch.ones(2,3)).variance
D.Normal(T(0),T(1))
D.Normal(T(0),T(1)).sample()
D.Bernoulli(T(1))
D.Gamma(T(1),T(2)).mean
""".strip().splitlines()


def said(lib, expression):
    names = {"D": lib.distributions, "C": lib.distributions.constraints, "T": lib.tensor, "torch": lib}
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", ".*has compiled")  # how often this line did so depends on the tests before
        try:
            found = repr(eval(expression, names))
        except Exception as error:
            found = f"{type(error).__name__}: {error}"
    return [re.sub("jaxnn", "torch", text) for text in (found, *(f"{w.category.__name__}: {w.message}" for w in seen))]


def test_text():
    different = [(e, said(jaxnn, e), said(torch, e)) for e in EXPRESSIONS if said(jaxnn, e) != said(torch, e)]
    assert not different, "\n".join(map(str, different))


def test_own_classes():
    """Subclasses: `expand` refuses another constructor, and defaults can be switched."""
    for lib in (torch, jaxnn):
        d = lib.distributions

        class Mine(d.Normal):
            def __init__(self, width, lib=lib):
                super().__init__(lib.zeros_like(width), width)

        class Same(d.Normal):
            pass

        mine = Mine(lib.ones(3))
        try:
            mine.expand((2, 3))
        except NotImplementedError as error:
            text = "Subclass Mine of Normal that defines a custom __init__ method must also define a custom .expand() method."
            assert str(error) == text
        assert type(Same(0.0, 1.0).expand((2,))) is Same
        d.Distribution.set_default_validate_args(False)
        try:
            assert d.Normal(0.0, -1.0).scale.item() == -1.0
        finally:
            d.Distribution.set_default_validate_args(True)


def test_checks_leave_a_step_one_program():
    """Parameters that a network computes are not read; asked for, they are."""
    from jaxnn import nn

    jaxnn.manual_seed(0)
    net = nn.Linear(3, 4)
    optimizer = jaxnn.optim.SGD(net.parameters(), lr=0.1)
    x = jaxnn.randn(8, 3)
    losses = []
    for step in range(6):
        if step == 5:
            jaxnn.reset_engine_statistics()
        mean, width = net(x).chunk(2, -1)
        q = jaxnn.distributions.Normal(mean, jaxnn.nn.functional.softplus(width))
        prior = jaxnn.distributions.Normal(jaxnn.zeros_like(mean), jaxnn.ones_like(width))
        z = q.rsample()
        loss = (jaxnn.distributions.kl_divergence(q, prior).sum(-1) - q.log_prob(z).sum(-1)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss)
    assert jaxnn.engine_statistics()["cuts"] == 1
    mean = net(x)[:, 0]
    try:
        jaxnn.distributions.Normal(mean, mean - 100, validate_args=True)
    except ValueError as error:
        assert "to satisfy the constraint GreaterThan(lower_bound=0.0)" in str(error)
    else:
        raise AssertionError("a negative scale was not seen")
