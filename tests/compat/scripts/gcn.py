"""A graph convolutional network (Kipf and Welling, 2016) with a sparse adjacency, on a made-up graph of three groups."""

import argparse
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import Adam

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=50)
parser.add_argument("--hidden-dim", type=int, default=16)
parser.add_argument("--val-every", type=int, default=10)
parser.add_argument("--include-bias", action="store_true")
args = parser.parse_args()
device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
torch.manual_seed(42)
rng = np.random.default_rng(0)
labels = torch.tensor(rng.integers(0, 3, 90))
edges = [(i, j) for i in range(90) for j in range(90) if i != j and rng.random() < (0.15 if labels[i] == labels[j] else 0.02)]
features = torch.tensor(rng.normal(size=(90, 12)), dtype=torch.float32) + F.one_hot(labels, 12) * 0.7


def normalized(pairs, n):
    index = torch.tensor(pairs).t()
    both = torch.cat([index, index.flip(0), torch.arange(n).repeat(2, 1)], dim=1)
    adjacency = torch.sparse_coo_tensor(both, torch.ones(both.shape[1]), (n, n)).coalesce()
    adjacency = torch.sparse_coo_tensor(adjacency.indices(), torch.ones(adjacency.indices().shape[1]), (n, n))
    degree = torch.sparse.sum(adjacency, dim=1).to_dense()
    i, j = adjacency.coalesce().indices()
    values = degree[i].pow(-0.5) * degree[j].pow(-0.5)
    return torch.sparse_coo_tensor(torch.stack([i, j]), values, (n, n)).coalesce()


class GraphConv(nn.Module):
    def __init__(self, input_dim, output_dim, use_bias=False):
        super().__init__()
        self.kernel = nn.Parameter(torch.Tensor(input_dim, output_dim))
        nn.init.xavier_normal_(self.kernel)
        self.bias = None
        if use_bias:
            self.bias = nn.Parameter(torch.Tensor(output_dim))
            nn.init.zeros_(self.bias)

    def forward(self, x, adj):
        out = torch.sparse.mm(adj, torch.mm(x, self.kernel))
        return out if self.bias is None else out + self.bias


class GCN(nn.Module):
    def __init__(self, input_dim, hidden_dim, output_dim, use_bias=True, dropout_p=0.1):
        super().__init__()
        self.gc1 = GraphConv(input_dim, hidden_dim, use_bias)
        self.gc2 = GraphConv(hidden_dim, output_dim, use_bias)
        self.dropout = nn.Dropout(dropout_p)

    def forward(self, inputs):
        x, adj = inputs
        x = self.dropout(F.relu(self.gc1(x, adj)))
        return F.log_softmax(self.gc2(x, adj), dim=1)


adj = normalized(edges, 90).to(device)
print(adj.shape, adj._nnz(), adj.is_sparse)
order = torch.randperm(90)
idx_train, idx_val, idx_test = order[:40], order[40:60], order[60:]
gcn = GCN(12, args.hidden_dim, 3, args.include_bias).to(device)
optimizer = Adam(gcn.parameters(), lr=0.01, weight_decay=5e-4)
criterion = nn.NLLLoss()
for epoch in range(args.epochs):
    t_start = time.time()
    gcn.train()
    optimizer.zero_grad()
    output = gcn((features, adj))
    loss = criterion(output[idx_train], labels[idx_train])
    loss.backward()
    optimizer.step()
    assert time.time() >= t_start
    if epoch % args.val_every == 0:
        with torch.no_grad():
            gcn.eval()
            output = gcn((features, adj))
            acc = output[idx_val].argmax(dim=1).eq(labels[idx_val]).double().mean()
            print(f"Epoch {epoch + 1:04d} ({loss.item():.4f}) val {criterion(output[idx_val], labels[idx_val]).item():.4f} acc {acc:.3f}")
gcn.eval()
print(gcn((features, adj))[idx_test].argmax(dim=1).eq(labels[idx_test]).sum().item())
