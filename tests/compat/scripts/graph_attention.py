"""A graph attention network (Velickovic et al., 2018), the edges as a mask."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import Adam

torch.manual_seed(3)
n, groups = 60, 4
label = torch.randint(groups, (n,))
adjacent = torch.rand(n, n) < torch.where(label[:, None] == label, 0.3, 0.05)
adjacent = (adjacent | adjacent.T | torch.eye(n, dtype=torch.bool)).to_sparse().to_dense()
features = torch.randn(n, 10) + 0.5 * F.one_hot(label, 10).float()


class GraphAttentionLayer(nn.Module):
    def __init__(self, in_features, out_features, n_heads, concat=False, dropout=0.4, leaky_relu_slope=0.2):
        super().__init__()
        self.n_heads, self.concat, self.dropout = n_heads, concat, dropout
        self.n_hidden = out_features // n_heads if concat else out_features
        self.W = nn.Parameter(torch.empty(size=(in_features, self.n_hidden * n_heads)))
        self.a = nn.Parameter(torch.empty(size=(n_heads, 2 * self.n_hidden, 1)))
        self.leakyrelu = nn.LeakyReLU(leaky_relu_slope)
        self.softmax = nn.Softmax(dim=1)
        nn.init.xavier_normal_(self.W)
        nn.init.xavier_normal_(self.a)

    def forward(self, h, adj):
        nodes = h.shape[0]
        h = F.dropout(torch.mm(h, self.W), self.dropout, training=self.training)
        h = h.view(nodes, self.n_heads, self.n_hidden).permute(1, 0, 2)
        source = torch.matmul(h, self.a[:, : self.n_hidden, :])
        target = torch.matmul(h, self.a[:, self.n_hidden :, :])
        e = self.leakyrelu(source + target.mT)
        attention = torch.where(adj > 0, e, -9e16 * torch.ones_like(e))
        attention = F.dropout(F.softmax(attention, dim=-1), self.dropout, training=self.training)
        out = torch.matmul(attention, h)
        return out.permute(1, 0, 2).contiguous().view(nodes, -1) if self.concat else out.mean(dim=0)


class GAT(nn.Module):
    def __init__(self):
        super().__init__()
        self.gat1 = GraphAttentionLayer(10, 32, 4, concat=True)
        self.gat2 = GraphAttentionLayer(32, groups, 1)

    def forward(self, x, adj):
        x = F.elu(self.gat1(x, adj))
        return F.log_softmax(self.gat2(x, adj), dim=1)


net = GAT()
optimizer = Adam(net.parameters(), lr=0.005, weight_decay=5e-4)
idx_train, idx_test = torch.arange(n).tensor_split([40])
for epoch in range(50):
    net.train()
    optimizer.zero_grad()
    loss = F.nll_loss(net(features, adjacent)[idx_train], label[idx_train])
    loss.backward()
    optimizer.step()
    if (epoch + 1) % 10 == 0:
        net.eval()
        with torch.no_grad():
            out = net(features, adjacent)
        print(f"Epoch {epoch + 1:04d} train {loss.item():.4f} test {F.nll_loss(out[idx_test], label[idx_test]):.4f}")
