"""Containers: the same program on PyTorch and on jaxnn, compared by what it returns or raises."""

from collections import OrderedDict

import pytest
import torch

import jaxnn

PROGRAMS = """
str(nn.Sequential(nn.Linear(2, 3), nn.ReLU()))
str(nn.Sequential(OrderedDict(a=nn.Linear(2, 3), b=nn.ReLU())))
str(nn.Sequential())
str(seq()[1:])
str(seq()[1:].state_dict().keys())
str(nn.Sequential(OrderedDict(a=nn.ReLU(), b=nn.Tanh()))[:1])
str(seq()[-1])
seq()[5]
len(seq())
bool(nn.Sequential())
s = seq(); s[1] = nn.Tanh(); str(s)
s = seq(); s[-1] = nn.Tanh(); str(s)
s = seq(); del s[0]; str(s)
s = seq(); del s[0:2]; str(s)
s = seq(); str(s.pop(1)) + str(s)
s = seq(); s.append(nn.Tanh()); str(s)
s = seq(); s.insert(1, nn.Tanh()); str(s)
s = seq(); s.insert(-1, nn.Tanh()); str(s)
s = seq(); s.insert(9, nn.Tanh())
s = seq(); s.insert(0, 3)
s = seq(); s.extend([nn.Tanh()]); str(s)
s = seq(); s.extend(nn.Sequential(nn.Tanh(), nn.GELU())); str(s)
str(seq() + nn.Sequential(nn.Tanh()))
str(seq() + [nn.Tanh()])
s = seq(); s += nn.Sequential(nn.Tanh()); str(s)
s = seq(); s += [nn.Tanh()]
str(seq() * 2)
str(2 * seq())
s = seq(); s *= 2; str(s)
seq() * 0
seq() * 'a'
nn.Sequential(3)
nn.Sequential(OrderedDict([('a.b', nn.ReLU())]))
[type(m).__name__ for m in seq()]
'0' in dir(seq())
seq()(torch.ones(1, 2)).shape
str(nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2), nn.ReLU())))
s = nn.Sequential(); s.add_module('block 0', nn.Linear(1, 1)); str(s) + str(list(s.state_dict()))
s = seq(); s.add_module('x', nn.Tanh()); del s[1]; str(s)
str(nn.ModuleList([nn.Linear(2, 3) for _ in range(4)]))
str(nn.ModuleList([nn.Linear(2, 3), nn.Linear(2, 3), nn.ReLU()]))
str(nn.ModuleList([nn.Sequential(nn.ReLU())] * 3))
str(nn.ModuleList())
l = mlist(); l.append(nn.Tanh()); str(l)
l = mlist(); l.extend([nn.Tanh()]); str(l)
l = mlist(); l += [nn.Tanh()]; str(l)
l = mlist(); l.insert(0, nn.Tanh()); str(l)
l = mlist(); l[1] = nn.Tanh(); str(l)
l = mlist(); del l[0]; str(l) + str(list(l.state_dict()))
l = mlist(); del l[::2]; str(l)
l = mlist(); str(l.pop(0)) + str(len(l))
str(mlist()[1:])
str(mlist() + [nn.Tanh()])
mlist()[7]
mlist().extend(3)
mlist()(1)
nn.ModuleList([1])
str(nn.ModuleDict({'a': nn.ReLU(), 'b': nn.Linear(1, 2)}))
str(nn.ModuleDict([['a', nn.ReLU()]]))
d = nn.ModuleDict({'a': nn.ReLU()}); d['c'] = nn.Tanh(); str(d) + str(list(d.keys())) + str(len(d)) + str('a' in d)
d = nn.ModuleDict({'a': nn.ReLU()}); d.pop('a'); str(d)
d = nn.ModuleDict({'a': nn.ReLU()}); del d['a']; str(d)
d = nn.ModuleDict({'a': nn.ReLU()}); d.clear(); len(d)
d = nn.ModuleDict({'a': nn.ReLU()}); d['x']
d = nn.ModuleDict({'a': nn.ReLU()}); d.update({'b': nn.Tanh(), 'a': nn.GELU()}); str(d) + str([k for k in d])
nn.ModuleDict(3)
nn.ModuleDict([['a']])
nn.ModuleDict([3])
str(plist())
str([p.tolist() for p in plist()])
p = plist(); p.append(torch.ones(1)); str(p) + str(len(list(p.parameters())))
p = plist(); p[0] = torch.ones(1); type(p[0]).__name__ + str(list(p.state_dict()))
p = plist(); p += [torch.ones(1), 'text']; str(p)
p = plist(); p[5]
p = plist(); str(p[1:])
p = plist(); p.extend(3)
p = plist(); p(1)
p = plist(); str(p[-1])
str(pdict())
d = pdict(); d['c'] = torch.ones(2); str(d) + str(list(d.keys())) + str(list(d.state_dict()))
d = pdict(); d.pop('a'); str(d)
d = pdict(); str(d.popitem()[0]) + str(len(d))
d = pdict(); del d['b']; str(d)
d = pdict(); d.clear(); str(d)
d = pdict(); str(d.get('zz')) + str(d.get('zz', 3))
d = pdict(); str(d.setdefault('n', torch.ones(1))) + str(list(d))
d = pdict(); str(d | nn.ParameterDict({'q': torch.ones(1)}))
d = pdict(); d |= nn.ParameterDict({'q': torch.ones(1)}); str(list(d))
d = pdict(); str(list(d.copy().keys())) + str(d.copy()['a'] is d['a'])
str(pdict().fromkeys(['u', 'v'], 3))
str(list(reversed(pdict())))
str(nn.ParameterDict({'b': torch.ones(1), 'a': torch.ones(2)}))
pdict()[3]
pdict()['zz']
nn.ParameterDict(3)
nn.ParameterDict([['a']])
pdict()(1)
""".strip().splitlines()


def run(face, program):
    nn = face.nn
    scope = {
        "nn": nn, "torch": face, "OrderedDict": OrderedDict,
        "seq": lambda: nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)),
        "mlist": lambda: nn.ModuleList([nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)]),
        "plist": lambda: nn.ParameterList([nn.Parameter(face.ones(2)), face.zeros(1, 3)]),
        "pdict": lambda: nn.ParameterDict({"a": nn.Parameter(face.ones(2)), "b": face.zeros(1, 3)}),
    }  # fmt: skip
    *statements, last = program.split("; ")
    try:
        for s in statements:
            exec(s, scope)
        try:
            code = compile(last, "<last>", "eval")
        except SyntaxError:
            exec(last, scope)
            return None
        return eval(code, scope)
    except Exception as error:
        text = (
            str(error)
            .replace("jaxnn.nn.containers", "torch.nn.modules.container")
            .replace("jaxnn.nn.module", "torch.nn.modules.module")
        )
        return type(error), text


@pytest.mark.parametrize("program", PROGRAMS)
def test_program(program):
    theirs, ours = run(torch, program), run(jaxnn, program)
    if (
        isinstance(theirs, tuple) and theirs and theirs[0] is NotImplementedError
    ):  # PyTorch's text names the class alone
        assert ours[0] is NotImplementedError
    else:
        assert ours == theirs
