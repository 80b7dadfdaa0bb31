// csrc/row.h against the textbook formula in long double: no Python, no torch.
#include "row.h"

#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

namespace {

int failures = 0;

void expect_near(const char* what, int classes, long double actual, long double wanted,
                 long double tolerance) {
  if (!(std::fabs(actual - wanted) <= tolerance * (1 + std::fabs(wanted)))) {
    std::printf("FAILED %s, C = %d: %.17Lg, wanted %.17Lg\n", what, classes, actual, wanted);
    ++failures;
  }
}

struct Row {
  std::vector<double> x, t;
  int y;
};

Row random_row(int classes, std::mt19937_64& random) {
  std::normal_distribution<double> normal(0, 3);
  Row row{std::vector<double>(classes), std::vector<double>(classes),
          static_cast<int>(random() % classes)};
  double mass = 0;
  for (int j = 0; j < classes; ++j) {
    row.x[j] = normal(random);
    row.t[j] = random() % 4 == 0 ? 0 : std::exp(normal(random));
    mass += row.t[j];
  }
  for (double& t : row.t) {
    t = mass > 0 ? t / mass : 1.0 / classes;
  }
  return row;
}

// The definitions, with nothing shared and nothing reordered.
void check_row(const Row& row, double a, double b, double upstream) {
  const int classes = static_cast<int>(row.x.size());
  long double total = 0;
  for (const double x : row.x) {
    total += std::exp(static_cast<long double>(x));
  }
  const auto p = [&](int j) { return std::exp(static_cast<long double>(row.x[j])) / total; };
  long double kl = 0, mass = 0;
  for (int j = 0; j < classes; ++j) {
    mass += row.t[j];
    kl += row.t[j] > 0 ? row.t[j] * std::log(row.t[j] / p(j)) : 0;
  }
  const long double ce = -std::log(p(row.y));

  double max = row.x[0];
  for (const double x : row.x) {
    max = std::fmax(max, x);
  }
  ffdwv::RowSums<double> halves[2];  // two parts, merged, as lanes are
  for (int j = 0; j < classes; ++j) {
    auto& sums = halves[j % 2];
    sums.add_exp(std::exp(row.x[j] - max));
    sums.add_soft(row.x[j] - max, row.t[j]);
    sums.add_neg_entropy(row.t[j]);
  }
  halves[0].merge(halves[1]);
  const ffdwv::Weights<double> weights{a, b};
  const auto loss = ffdwv::row_loss(halves[0], row.x[row.y] - max, weights);
  expect_near("ce", classes, loss.ce, ce, 1e-13L);
  expect_near("kl", classes, loss.kl, kl, 1e-13L);
  expect_near("loss", classes, loss.loss, a * ce + b * kl, 1e-13L);

  const ffdwv::RowGradient<double> gradient(halves[0], weights, upstream);
  for (int j = 0; j < classes; ++j) {
    const double e = std::exp(row.x[j] - max);
    const bool label = j == row.y;
    const double actual = label ? gradient.label(e, row.t[j]) : gradient.other(e, row.t[j]);
    const long double wanted = upstream * ((a + b * mass) * p(j) - a * label - b * row.t[j]);
    expect_near("gradient", classes, actual, wanted, 1e-13L);
  }
}

void check_sure_label() {
  // p_y = 1 - 1e-13: the entry at the label keeps its digits.
  const double d = -30;
  ffdwv::RowSums<double> sums;
  sums.add_exp(1);
  sums.add_exp(std::exp(d));
  const ffdwv::RowGradient<double> gradient(sums, {1.0, 0.0}, 1.0);
  const long double wanted = -std::exp(static_cast<long double>(d));
  if (std::fabs(gradient.label(1, 0) / wanted - 1) > 2e-3L) {
    std::printf("FAILED sure label: %.17g, wanted %.17Lg\n", gradient.label(1, 0), wanted);
    ++failures;
  }
}

void check_zero_weight_of_an_infinite_part() {
  ffdwv::RowSums<double> sums;
  sums.add_exp(1);
  sums.add_soft(-INFINITY, 0.5);
  const auto loss = ffdwv::row_loss(sums, 0.0, ffdwv::Weights<double>{1.0, 0.0});
  expect_near("loss beside an infinite part of weight 0", 2, loss.loss, 0, 0);
  if (!std::isinf(loss.kl)) {
    std::printf("FAILED the infinite part is reported\n");
    ++failures;
  }
}

}  // namespace

int main() {
  std::mt19937_64 random(0);
  int rows = 0;
  for (int classes = 1; classes <= 200; ++classes) {
    check_row(random_row(classes, random), 1, 1, 1);
    check_row(random_row(classes, random), 0.3, 2.5, -1.7);
    rows += 2;
  }
  check_sure_label();
  check_zero_weight_of_an_infinite_part();
  std::printf("%d rows, %d failures\n", rows, failures);
  return failures == 0 ? 0 : 1;
}
